"""`stagedoor replay` as a process: killed, interrupted, cut off from the database, and what it says."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from adapters.database import make_pool
from adapters.event_log import EventLog
from cli.replay import replay
from domain.published import PublishedEvent
from projections import rebuild_alone
from projections.rebuild import REBUILD_LOCK
from projections.user_status import USER_STATUS
from tests.projections.stories import Story, append, assert_rows_are_the_fold, stored_rows
from tests.replay.halves import ask, assert_nothing_is_left, assert_shadows_are_the_fold, do, noted

ROOT = Path(__file__).parents[2]
SMALL_CHUNKS = "import projections.rebuild as r; r.CHUNK = 20; from cli.main import main; main()"
"""The command itself, in steps that a test can get between."""

PATIENCE_SECONDS = 20.0

_REBUILDS = (
    f"locktype = 'advisory' AND objid = {REBUILD_LOCK} AND database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture
def told(database_url: str) -> Story:
    """A story of some thousand events in the store's log: hundreds of steps."""
    story = Story(11).tell(4_000)
    append(database_url, story.events)
    return story


@contextmanager
def replaying(database_url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SMALL_CHUNKS, "replay", *arguments],
        env={**os.environ, "DATABASE_URL": database_url, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(true: Callable[[], object], what: str) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < give_up_at, f"still not: {what}"
        time.sleep(0.005)


def locks(database_url: str, *, granted: bool = True) -> bool:
    """Whether a rebuild is at work in the server, or (not granted) waits for somebody who keeps a table."""
    if granted:
        return bool(ask(database_url, f"SELECT FROM pg_locks WHERE {_REBUILDS}"))
    return bool(ask(database_url, "SELECT FROM pg_locks WHERE NOT granted AND relation = 'user_status'::regclass"))


def run(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(replay, arguments, env={"DATABASE_URL": database_url})


def log_of(database_url: str) -> list[PublishedEvent]:
    async def read() -> list[PublishedEvent]:
        async with make_pool(database_url, max_size=1) as pool:
            return await EventLog(pool).after(0, limit=100_000)

    return asyncio.run(read())


def test_killed_in_the_middle_it_goes_on(told: Story, database_url: str) -> None:
    log = log_of(database_url)
    with replaying(database_url) as process:
        wait_until(lambda: noted(database_url) > 0, "some of the log is folded")
        process.send_signal(signal.SIGKILL)
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    wait_until(lambda: not locks(database_url), "the server has noticed")
    reached = noted(database_url)
    assert 0 < reached < log[-1].position
    assert_shadows_are_the_fold(database_url, log)
    assert stored_rows(database_url, USER_STATUS) == {}

    with replaying(database_url) as process:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, err
    assert f"going on from position {reached:,}" in err
    assert f"made again from {len(log):,} events" in out
    assert "folded before" in out
    assert_rows_are_the_fold(database_url, log)
    assert_nothing_is_left(database_url)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_soon_and_says_how_to_go_on(told: Story, database_url: str, number: signal.Signals) -> None:
    with replaying(database_url) as process:
        wait_until(lambda: noted(database_url) > 0, "some of the log is folded")
        process.send_signal(number)
        began = time.monotonic()
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        seconds = time.monotonic() - began
    assert process.returncode == 130, err
    assert seconds < 2
    reached = noted(database_url)
    assert 0 < reached < log_of(database_url)[-1].position
    interrupted = f"interrupted; the same command goes on from position {reached:,}, --from-start begins anew"
    assert err.splitlines()[-1] == interrupted
    assert out == ""

    done = run(database_url, "--from-start")
    assert done.exit_code == 0, done.output
    assert "going on" not in done.output
    assert_rows_are_the_fold(database_url, log_of(database_url))


def test_interrupted_while_it_waits_for_the_server_it_ends_soon(told: Story, database_url: str) -> None:
    """Somebody keeps the table; what the server does for the command is cancelled with it."""
    with psycopg.connect(database_url) as keeper, replaying(database_url, "user_status") as process:
        keeper.execute("SELECT count(*) FROM user_status")
        wait_until(lambda: locks(database_url, granted=False), "it waits for the table")
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 130, err
        assert time.monotonic() - began < 2
        assert not locks(database_url)
    assert run(database_url, "user_status").exit_code == 0


def test_killed_while_it_waits_for_the_server_it_does_not_go_on_there(told: Story, database_url: str) -> None:
    """The server ends the statement of a process that is gone, so that the next one need not wait for it."""
    with psycopg.connect(database_url) as keeper, replaying(database_url, "user_status") as process:
        keeper.execute("SELECT count(*) FROM user_status")
        wait_until(lambda: locks(database_url, granted=False), "it waits for the table")
        process.kill()
        began = time.monotonic()
        wait_until(lambda: not locks(database_url), "the server has noticed")
        assert time.monotonic() - began < 3
    assert run(database_url, "user_status").exit_code == 0


def test_cut_off_from_the_database_it_says_how_to_go_on(told: Story, database_url: str) -> None:
    with replaying(database_url) as process:
        wait_until(lambda: noted(database_url) > 0, "some of the log is folded")
        do(database_url, f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {_REBUILDS}")
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1, err
    assert err.splitlines()[-1].startswith("stopped, the same command goes on with what is built: ")
    assert "Traceback" not in err
    assert_shadows_are_the_fold(database_url, log_of(database_url))
    done = run(database_url)
    assert done.exit_code == 0, done.output
    assert "going on from position" in done.output


def test_the_differences_are_said_and_a_dry_run_ends_with_1(told: Story, database_url: str) -> None:
    assert run(database_url).exit_code == 0
    order = told.orders[0].id
    do(database_url, "UPDATE buyer_orders SET status = 'lost' WHERE id = %s", order)
    do(database_url, "DELETE FROM user_status WHERE id = %s", told.users[0].id)

    dry = run(database_url, "--dry-run")
    assert dry.exit_code == 1
    assert f"buyer_orders: {len(told.orders) - 1:,} rows equal, 1 different, 0 new, 0 gone\n" in dry.output
    assert f"  {order}: status\n" in dry.output
    assert f"user_status: {len(told.users) - 1:,} rows equal, 0 different, 1 new, 0 gone\n" in dry.output
    assert f"  {told.users[0].id}: new\n" in dry.output
    assert "and not switched" in dry.output
    assert ask(database_url, "SELECT status FROM buyer_orders WHERE id = %s", order) == [("lost",)]
    assert_nothing_is_left(database_url)

    switched = run(database_url)
    assert switched.exit_code == 0
    assert f"  {order}: status\n" in switched.output
    again = run(database_url, "--dry-run")
    assert again.exit_code == 0
    assert f"buyer_orders: {len(told.orders):,} rows equal, 0 different, 0 new, 0 gone\n" in again.output


def test_more_differences_than_are_shown_are_counted(told: Story, database_url: str) -> None:
    assert run(database_url).exit_code == 0
    do(database_url, "UPDATE buyer_orders SET status = 'lost'")
    assert f"  and {len(told.orders) - 10:,} more\n" in run(database_url, "buyer_orders", "--dry-run").output


def test_a_second_replay_is_told_that_there_is_one(
    told: Story, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_alone, "ALONE_TIMEOUT_MS", 200)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (REBUILD_LOCK,))
        second = run(database_url)
    assert second.exit_code == 1
    assert "another rebuild is running" in second.output

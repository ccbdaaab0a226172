"""A rebuild that was cut off anywhere goes on, and makes what one that was not cut off makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.event_log import EventLog
from domain.published import PublishedEvent
from projections import rebuild as module
from projections.buyer_orders import BUYER_ORDERS
from projections.projection import Columns, Projection
from projections.rebuild import RebuildError, Rebuilt, rebuild
from projections.ticket_listing import TICKET_LISTING
from projections.user_status import USER_STATUS
from tests.projections.stories import Story, append, assert_rows_are_the_fold, stored_rows
from tests.projections.test_rebuild import DESCRIPTIONS
from tests.replay.halves import ALL, ask, assert_nothing_is_left, assert_shadows_are_the_fold, do, noted

CHUNK = 64
PARKED = "SELECT model, aggregate_id, sequence, error FROM parked_events ORDER BY position"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", CHUNK)


async def cut_off(pool: AsyncConnectionPool, after: int = 3, projections: Any = ALL, **options: Any) -> list[str]:
    """A rebuild that is cancelled after so many chunks; returns what it said."""
    said: list[str] = []
    chunks = count()

    def progress(_position: int, _end: int) -> None:
        if next(chunks) == after:
            task.cancel()

    task = asyncio.ensure_future(rebuild(pool, EventLog(pool), projections, progress, say=said.append, **options))
    with pytest.raises(asyncio.CancelledError):
        await task
    return said


async def whole(pool: AsyncConnectionPool, projections: Any = ALL, **options: Any) -> tuple[Rebuilt, list[str]]:
    said: list[str] = []
    rebuilt = await rebuild(pool, EventLog(pool), projections, say=said.append, **options)
    return rebuilt, said


async def log_of(pool: AsyncConnectionPool) -> list[PublishedEvent]:
    return await EventLog(pool).after(0, limit=100_000)


async def test_what_was_built_is_not_built_again(told: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    await cut_off(pool)
    reached = noted(database_url)
    log = await log_of(pool)
    assert reached == log[3 * CHUNK - 1].position
    assert_shadows_are_the_fold(database_url, log)
    assert stored_rows(database_url, USER_STATUS) == {}

    append(database_url, Story(12).tell(50).events)
    rebuilt, said = await whole(pool)
    assert said[0] == f"going on from position {reached:,}"
    log = await log_of(pool)
    assert (rebuilt.events, rebuilt.earlier, rebuilt.position) == (len(log), 3 * CHUNK, log[-1].position)
    assert_rows_are_the_fold(database_url, log)
    assert_nothing_is_left(database_url)
    assert (await whole(pool))[0].earlier == 0


async def test_cut_off_at_any_moment_it_makes_the_same(
    told: Story, pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a chunk, of an index, of the comparison or the swap: whatever was being done, it goes on."""
    monkeypatch.setattr(module, "CHUNK", 16)
    log, random = await log_of(pool), Random(5)
    reached, cuts = 0, 0
    for longer in range(200):
        task = asyncio.ensure_future(rebuild(pool, EventLog(pool), ALL))
        asyncio.get_running_loop().call_later(random.uniform(0.005, 0.05 + longer / 200), task.cancel)
        try:
            rebuilt = await task
            break
        except asyncio.CancelledError:
            cuts += 1
            assert noted(database_url) >= reached
            reached = noted(database_url)
            assert_shadows_are_the_fold(database_url, log, ALL if reached else [])
    assert cuts > 2
    assert (rebuilt.events, rebuilt.position) == (len(log), log[-1].position)
    assert_rows_are_the_fold(database_url, log)
    assert_nothing_is_left(database_url)


async def test_a_lost_connection_loses_no_chunk(told: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    chunks = count()

    def progress(_position: int, _end: int) -> None:
        if next(chunks) == 4:
            do(
                database_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )

    with pytest.raises(psycopg.OperationalError):
        await rebuild(pool, EventLog(pool), ALL, progress)
    await pool.check()  # the other connections are gone too
    assert_shadows_are_the_fold(database_url, await log_of(pool))
    rebuilt, _ = await whole(pool)
    assert (rebuilt.events, rebuilt.earlier) == (len(told.events), 4 * CHUNK)
    assert_rows_are_the_fold(database_url, await log_of(pool))


async def test_what_is_parked_stays_parked(told: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    """An aggregate that was stuck before the cut is stuck after it, and no event of it is lost or parked twice."""

    poisoned = told.tickets[0].id

    def project(event: PublishedEvent) -> Columns:
        if event.subject == poisoned and event.sequence == 5:
            raise ValueError("unknown")
        return TICKET_LISTING.project(event)

    theirs = [index for index, event in enumerate(await log_of(pool)) if event.subject == poisoned]
    assert theirs[4] < 2 * CHUNK < 5 * CHUNK < theirs[-1]
    broken = [replace(TICKET_LISTING, project=project)]
    uncut, _ = await whole(pool, broken)
    expected = ask(database_url, PARKED)
    assert len(expected) == uncut.parked == len(theirs) - 4
    for after in (2, 3):
        await cut_off(pool, after, broken)
    assert ask(database_url, PARKED) == expected
    cut, _ = await whole(pool, broken)
    assert cut.earlier == 5 * CHUNK
    assert cut.parked == uncut.parked
    assert ask(database_url, PARKED) == expected


async def test_a_cancellation_that_comes_too_late_is_none(
    told: Story, pool: AsyncConnectionPool, database_url: str
) -> None:
    """The swap is committed and waits for a standby that never answers: it cannot be taken back any more."""

    def standby(names: str) -> None:
        do(database_url, f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        do(database_url, "SELECT pg_reload_conf()")

    def say(line: str) -> None:
        if "comparing" in line:
            standby("nobody")

    task = asyncio.ensure_future(rebuild(pool, EventLog(pool), ALL, say=say))
    try:
        for _ in range(500):
            await asyncio.sleep(0.01)
            if ask(database_url, "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"):
                break
        task.cancel()
        rebuilt = await task
    finally:
        standby("")
    assert rebuilt.events == len(told.events)
    assert_rows_are_the_fold(database_url, await log_of(pool))
    assert_nothing_is_left(database_url)


async def test_from_start_begins_anew(told: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    await cut_off(pool)
    rebuilt, said = await whole(pool, from_start=True)
    assert (rebuilt.events, rebuilt.earlier) == (len(told.events), 0)
    assert not any("going on" in line for line in said)
    assert_rows_are_the_fold(database_url, await log_of(pool))


def other_program(projection: Projection) -> Projection:
    def project(event: PublishedEvent) -> Columns:
        return {**projection.project(event)}

    return replace(projection, project=project)


def other_columns(projection: Projection) -> Projection:
    return replace(projection, columns=dict(reversed(projection.columns.items())))


def same(projection: Projection) -> Projection:
    return projection


CHANGES: dict[str, tuple[str | None, Callable[[Projection], Projection]]] = {
    "a column more": ("ALTER TABLE user_status ADD COLUMN note text", same),
    "another type": ("ALTER TABLE user_status ALTER COLUMN version TYPE numeric", same),
    "an index more": ("CREATE INDEX user_status_admin ON user_status (id) WHERE admin", same),
    "other storage": ("ALTER TABLE user_status SET (fillfactor = 50)", same),
    "other rights": ("GRANT SELECT ON user_status TO PUBLIC", same),
    "another program": (None, other_program),
    "other columns": (None, other_columns),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_built_for_something_else_is_not_gone_on_with(
    told: Story, pool: AsyncConnectionPool, database_url: str, change: str
) -> None:
    await cut_off(pool, projections=[USER_STATUS])
    statement, changed = CHANGES[change]
    if statement is not None:
        do(database_url, statement)
    rebuilt, said = await whole(pool, [changed(USER_STATUS)])
    assert said[0] == "beginning anew: the program or the table is another one since"
    assert (rebuilt.events, rebuilt.earlier) == (len(told.events), 0)


async def test_every_change_of_the_program_shows(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from projections import rebuild_notes

    (tmp_path / "one.py").write_text("a = 1")
    monkeypatch.setattr(rebuild_notes, "files", lambda _package: tmp_path)
    before = rebuild_notes.program.__wrapped__()
    (tmp_path / "one.txt").write_text("not the program")
    assert rebuild_notes.program.__wrapped__() == before
    (tmp_path / "one.py").write_text("a = 2")
    assert rebuild_notes.program.__wrapped__() != before


async def test_one_of_several_goes_on_and_the_others_cannot_go_on_with_it(
    told: Story, pool: AsyncConnectionPool, database_url: str
) -> None:
    await cut_off(pool)
    rebuilt, said = await whole(pool, [USER_STATUS])
    assert "going on" in said[0]
    assert rebuilt.earlier == 3 * CHUNK
    rebuilt, said = await whole(pool)
    assert said[0] == "beginning anew: not all of these read models have an unfinished rebuild"
    assert rebuilt.earlier == 0

    await cut_off(pool, 2, [USER_STATUS])
    await cut_off(pool, 3, [BUYER_ORDERS])
    rebuilt, said = await whole(pool, [USER_STATUS, BUYER_ORDERS])
    assert said[0] == "beginning anew: these read models were not built together"
    assert rebuilt.earlier == 0
    assert_rows_are_the_fold(database_url, await log_of(pool))
    assert_nothing_is_left(database_url)


async def test_a_log_that_is_shorter_than_what_was_read_is_read_anew(
    told: Story, pool: AsyncConnectionPool, database_url: str
) -> None:
    await cut_off(pool)
    do(database_url, "DELETE FROM stored_events WHERE notification_id > %s", noted(database_url) - 1)
    rebuilt, said = await whole(pool)
    assert said[0].startswith("beginning anew: it had read up to position")
    assert (rebuilt.events, rebuilt.earlier) == (3 * CHUNK - 1, 0)


async def test_kept_from_the_swap_it_goes_on_with_a_whole_table(
    told: Story, pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The indexes are made once, and the table is the same table afterwards."""
    models = [projection.model for projection in ALL]
    before = [ask(database_url, query, models) for query in DESCRIPTIONS]
    monkeypatch.setattr(module, "LOCK_TIMEOUT_MS", 100)
    with psycopg.connect(database_url) as keeper:
        keeper.execute("SELECT count(*) FROM buyer_orders")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await whole(pool)
    made = ask(database_url, "SELECT oid FROM pg_class WHERE oid = 'rebuild.ticket_listing_price'::regclass")
    rebuilt, _ = await whole(pool)
    assert rebuilt.earlier == rebuilt.events == len(told.events)
    assert ask(database_url, "SELECT oid FROM pg_class WHERE oid = 'ticket_listing_price'::regclass") == made
    assert [ask(database_url, query, models) for query in DESCRIPTIONS] == before
    assert_rows_are_the_fold(database_url, await log_of(pool))


async def test_a_table_that_changes_while_it_is_rebuilt_is_not_swapped(
    told: Story, pool: AsyncConnectionPool, database_url: str
) -> None:
    def say(line: str) -> None:
        if "comparing" in line:
            do(database_url, "ALTER TABLE user_status ADD COLUMN note text")

    with pytest.raises(RebuildError, match="user_status was changed"):
        await rebuild(pool, EventLog(pool), ALL, say=say)
    assert stored_rows(database_url, USER_STATUS) == {}
    assert_nothing_is_left(database_url)


async def test_progress_begins_where_it_goes_on(told: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    await cut_off(pool)
    reached, end = noted(database_url), await EventLog(pool).end()
    seen: list[tuple[int, int]] = []
    await rebuild(pool, EventLog(pool), ALL, lambda *at: seen.append(at))
    assert seen[0] == (reached, end)
    assert seen[-1] == (end, end)

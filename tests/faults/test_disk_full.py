"""Fault 15: the disk of the event store is full. Nothing but clean refusals meanwhile, and afterwards all goes on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest

from tests.e2e.up import Answer, Up, eventually
from tests.faults.client import Client, assert_kept, shopping, stored
from tests.faults.conftest import StartApi
from tests.faults.servers import OwnPostgres, own_postgres
from tests.streams.parts import is_projected

DISK_BYTES = 200 * 1024 * 1024
"""A cluster takes 60 MB with its first pieces of write-ahead log."""

TOLD_SECONDS = 20.0
"""The waits before the sixth death, after which a part is said to die again and again, are six of them."""

pytestmark = pytest.mark.long


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, so that filling it hurts nobody."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0711", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk needs root and the right to mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def postgres(small_disk: Path) -> Iterator[OwnPostgres]:
    with own_postgres(small_disk / "data", {}) as one:
        yield one


def fill(ballast: Path) -> None:
    """Takes every free byte of a file system."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


@pytest.mark.parametrize("is_log_full", [False, True])
def test_a_full_disk_is_refused_cleanly_and_got_over(
    postgres: OwnPostgres, small_disk: Path, start_api: StartApi, is_log_full: bool
) -> None:
    """A table that cannot grow is an error of one transaction; a write-ahead log that cannot ends the server."""
    client: Client = start_api(postgres.url)
    ballast = small_disk / "ballast"
    with shopping(client, people=6, paying=False) as shoppers:
        postgres.until(lambda: len(shoppers.orders) > 50, "orders are taken")
        with connected(postgres.url) as connection:
            fill(ballast)
            if is_log_full:
                use_up_the_log(connection)
        postgres.until(lambda: shoppers.statuses[503] >= 6, "the buyers are told to come again", 45)
        ballast.unlink()
        before = len(shoppers.orders)
        postgres.until(lambda: len(shoppers.orders) > before + 50, "orders are taken again", 30)
    postgres.until(postgres.answers, "the server runs")
    assert_kept(shoppers, postgres.url)
    assert len(stored(postgres.url, "stagedoor.Ticket.Reserved")) == len(shoppers.orders)
    path = f"/api/tickets/{shoppers.ticket_id}"
    seen = postgres.until(lambda: shown(client.call("GET", path)), "reads are answered again", 40)
    assert seen["held"] == len(shoppers.orders)


def shown(answer: Answer) -> Any:
    """What was read; None while the store is away."""
    assert answer.status in (200, 503), answer
    return answer.body if answer.status == 200 else None


def test_the_supervisor_waits_for_space_and_says_so_once(postgres: OwnPostgres, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with connected(postgres.url) as connection:
        fill(ballast)
        use_up_the_log(connection)
    heal_at = monotonic() + 30.0
    postgres.until(lambda: monotonic() > heal_at, "time passes", 35)
    waiting = [line for line in postgres.said if "again and again" in line]
    assert len(waiting) == 1, postgres.said
    assert "is full; tried every 10 s until it stays up" in waiting[0]
    assert len(postgres.said) < 12, postgres.said
    ballast.unlink()
    postgres.until(postgres.answers, "the server is back", 30)
    assert postgres.said[-1] == "postgres restarted"


def test_a_whole_marketplace_gets_over_it(small_disk: Path) -> None:
    """Also what `stagedoor up` itself writes, `running.json` and logs, finds no space meanwhile."""
    ballast = small_disk / "ballast"
    up = Up(small_disk / "data", "builtin")
    up.start()
    try:
        database_url = json.loads((up.data_dir / "running.json").read_text())["database_url"]
        with shopping(Client(up.url), paying=False) as shoppers:
            eventually(lambda: len(shoppers.orders), lambda orders: orders > 20)
            with connected(database_url) as connection:
                fill(ballast)
                use_up_the_log(connection)
            told_by = monotonic() + TOLD_SECONDS
            eventually(lambda: shoppers.statuses[503] >= 4 and monotonic() > told_by, bool, 60)
            ballast.unlink()
            before = len(shoppers.orders)
            eventually(lambda: len(shoppers.orders), lambda orders: orders > before + 20, 45)
        assert_kept(shoppers, database_url)
        eventually(lambda: is_projected(database_url), bool, 45)
        postgres = up.parts()["postgres"]
        assert (small_disk / "data" / "postgres" / "postmaster.pid").read_text().split()[0] == str(postgres)
        assert up.stop() == 0
    finally:
        up.ensure_ended()
    waiting = [line for line in up.output if "again and again" in line]
    assert len(waiting) == 1, "\n".join(up.output)
    assert "is full; tried every 10 s" in waiting[0]


def connected(database_url: str) -> psycopg.Connection:
    """To be opened while there is space: on a full disk PostgreSQL may refuse a new connection, which has a file of its
    catalog's to write."""
    return psycopg.connect(database_url, autocommit=True)


def use_up_the_log(connection: psycopg.Connection) -> None:
    """Until the next piece of it has to be made, and cannot be: then the server ends itself."""
    with suppress(psycopg.OperationalError):
        for _ in range(100):
            connection.execute("SELECT pg_logical_emit_message(false, 'fill', 'x'), pg_switch_wal()")
    assert connection.closed, "the server lived on"

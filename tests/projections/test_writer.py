"""Rows, parked events and checkpoints on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.database import make_pool
from projections.models import MODELS
from projections.positions import REBUILT
from projections.projection import Change, fold
from projections.ticket_listing import TICKET_LISTING
from projections.user_status import USER_STATUS
from projections.writer import Parked, Writer
from tests.conftest import Databases
from tests.projections.stories import START, Story, assert_rows_are_the_fold, expected_rows, stored_rows

SOMEBODY = UUID(int=7)
_WAITING = "SELECT pid FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)) LIMIT 1"
PARKED = Parked(1, 17, SOMEBODY, 3, 40, b"raw", "why")


def user(version: int, *, base: int = 0, user_id: UUID = SOMEBODY, **columns: object) -> Change:
    row = {"admin": False, "erased": False, "transfers_enabled": False, "created_at": START, "updated_at": START}
    whole = row if base == 0 else {}
    return Change(user_id, base, version, {**whole, **columns})


async def test_rows_of_a_story_are_the_fold(pool: AsyncConnectionPool, database_url: str) -> None:
    published = Story(1).tell(400).published()
    for projection in MODELS.values():
        writer = Writer(pool, projection)
        events = [event for event in published if event.topic == projection.topic]
        for at in range(0, len(events), 37):
            batch = events[max(0, at - 10) : at + 37]
            ids = {event.subject for event in batch}
            known = await writer.look(ids, [0])
            changes = [
                fold(projection, known.versions.get(i, 0), [event for event in batch if event.subject == i])
                for i in ids
            ]
            await writer.write([change for change in changes if change], [], {0: batch[-1].position})
        assert (await writer.look([], [0])).positions == {0: events[-1].position}
    assert_rows_are_the_fold(database_url, published)


async def test_a_row_never_goes_back(pool: AsyncConnectionPool, database_url: str) -> None:
    writer = Writer(pool, USER_STATUS)
    await writer.write([user(5, admin=True)], [], {})
    await writer.write([user(3)], [], {})
    await writer.write([user(5, base=2, admin=False)], [], {})
    assert stored_rows(database_url, USER_STATUS)[SOMEBODY][0] == 5
    assert stored_rows(database_url, USER_STATUS)[SOMEBODY][1]["admin"] is True


async def test_a_row_is_not_changed_over_a_gap(pool: AsyncConnectionPool, database_url: str) -> None:
    writer = Writer(pool, USER_STATUS)
    await writer.write([user(2)], [], {})
    await writer.write([user(9, base=8, erased=True)], [], {})
    assert stored_rows(database_url, USER_STATUS)[SOMEBODY][0] == 2


async def test_a_checkpoint_never_goes_back(pool: AsyncConnectionPool) -> None:
    writer = Writer(pool, USER_STATUS)
    await writer.write([], [], {0: 100, 3: 50})
    await writer.write([], [], {0: 90, 3: 60})
    assert (await writer.look([], [0, 3, 4])).positions == {0: 100, 3: 60, 4: 0}


async def test_a_rebuild_counts_for_every_partition(pool: AsyncConnectionPool) -> None:
    writer = Writer(pool, USER_STATUS)
    await writer.write([], [], {0: 100, REBUILT: 80})
    assert (await writer.look([], [0, 1])).positions == {0: 100, 1: 80}


async def test_an_event_is_parked_once(pool: AsyncConnectionPool, database_url: str) -> None:
    writer = Writer(pool, USER_STATUS)
    foreign = replace(PARKED, aggregate_id=None, position=None)
    await writer.write([], [PARKED, foreign], {})
    await writer.write([], [replace(PARKED, kafka_offset=99), foreign, replace(foreign, kafka_offset=18)], {})
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT kafka_offset, error FROM parked_events ORDER BY id").fetchall()
    assert rows == [(17, "why"), (17, "why"), (18, "why")]
    assert (await writer.look([SOMEBODY, uuid4()], [])).parked == {SOMEBODY}


async def test_rows_and_checkpoint_are_written_together_or_not_at_all(
    pool: AsyncConnectionPool, database_url: str
) -> None:
    writer = Writer(pool, USER_STATUS)
    with pytest.raises(psycopg.IntegrityError):
        await writer.write([user(1), user(1, user_id=uuid4(), admin=None)], [], {0: 5})
    assert stored_rows(database_url, USER_STATUS) == {}
    assert (await writer.look([], [0])).positions == {0: 0}


@pytest.mark.parametrize("statements", [1, 3])
async def test_a_write_that_fails_leaves_nothing_open(database_url: str, statements: int) -> None:
    """The next one goes over the same connection."""
    refused = [user(1, user_id=uuid4(), admin=None)]
    before = [user(1), user(2, base=1, user_id=uuid4(), admin=True)] if statements > 1 else []
    parked = [PARKED] if statements > 1 else []
    async with make_pool(database_url, max_size=1) as pool:
        writer = Writer(pool, USER_STATUS)
        for _ in range(7):  # so that the driver has prepared what it does
            with pytest.raises(psycopg.IntegrityError):
                await writer.write([*before, *refused], parked, {0: 5})
            async with pool.connection() as connection:
                assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
                assert connection.info.pipeline_status == psycopg.pq.PipelineStatus.OFF
        known = await writer.look([SOMEBODY], [0])
        assert (known.versions, known.parked, known.positions) == ({}, set(), {0: 0})
        await writer.write([user(1)], parked, {0: 5})
        known = await writer.look([SOMEBODY], [0])
        assert (known.versions, known.positions) == ({SOMEBODY: 1}, {0: 5})


async def test_the_last_of_several_statements_undoes_the_others(pool: AsyncConnectionPool, database_url: str) -> None:
    writer = Writer(pool, USER_STATUS)
    for _ in range(7):
        with pytest.raises(psycopg.DataError):
            await writer.write([user(1)], [replace(PARKED, error="a zero: \0")], {0: 5})
    assert stored_rows(database_url, USER_STATUS) == {}
    assert (await writer.look([SOMEBODY], [0])).positions == {0: 0}


async def test_a_write_of_several_statements_is_seen_as_one(pool: AsyncConnectionPool, database_url: str) -> None:
    other = uuid4()
    writer = Writer(pool, USER_STATUS)
    await writer.write([user(1), user(1, user_id=other)], [], {0: 5})
    await writer.write([user(2, base=1, admin=True), user(2, base=1, user_id=other, erased=True)], [PARKED], {0: 7})
    with psycopg.connect(database_url) as connection:
        written = connection.execute(
            "SELECT xmin::text FROM user_status UNION ALL SELECT xmin::text FROM parked_events"
            " UNION ALL SELECT xmin::text FROM checkpoints"
        ).fetchall()
    assert len(written) == 4
    assert len(set(written)) == 1


@pytest.mark.parametrize(
    ("meanwhile", "shown"),
    [("version = 2", (3, True)), ("version = 3", (3, False)), ("version = 7", (7, False))],
)
async def test_a_row_that_another_is_changing_is_judged_as_it_is_then(
    pool: AsyncConnectionPool, database_url: str, meanwhile: str, shown: tuple[int, bool]
) -> None:
    """Also one whose writer has another partition, so that they do not meet before."""
    writer = Writer(pool, USER_STATUS)
    await writer.write([user(1)], [], {0: 5})
    for change in (user(3, base=1, admin=True), user(3, admin=True)):
        async with await psycopg.AsyncConnection.connect(database_url) as other:
            await other.execute(f"UPDATE user_status SET admin = false, {meanwhile}".encode())
            writing = asyncio.create_task(writer.write([change], [], {1: 7}))
            while not await (await other.execute(_WAITING)).fetchone():  # noqa: ASYNC110 - it is the database that is asked
                await asyncio.sleep(0.01)
        await writing
        version, columns = stored_rows(database_url, USER_STATUS)[SOMEBODY]
        assert (version, columns["admin"]) == shown
    assert (await writer.look([], [1])).positions == {1: 7}


@pytest.mark.parametrize("change", [user(2, base=1, admin=True), user(2, admin=True)])
async def test_writers_of_one_partition_wait_for_each_other_before_they_hold_a_row(
    pool: AsyncConnectionPool, database_url: str, change: Change
) -> None:
    """Or two of them, each with rows in several statements, could wait for each other in a circle."""
    writer = Writer(pool, USER_STATUS)
    await writer.write([user(1)], [], {0: 5})
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("UPDATE checkpoints SET position = 6")
        writing = asyncio.create_task(writer.write([change], [], {0: 7}))
        while not await (await other.execute(_WAITING)).fetchone():  # noqa: ASYNC110 - it is the database that is asked
            await asyncio.sleep(0.01)
        await other.execute("SELECT FROM user_status WHERE id = %s FOR UPDATE NOWAIT", (SOMEBODY,))
    await writing
    assert stored_rows(database_url, USER_STATUS)[SOMEBODY][0] == 2


async def test_a_hot_listing_is_rewritten_without_touching_its_indexes(
    pool: AsyncConnectionPool, database_url: str, databases: Databases
) -> None:
    """A HOT update, also over the ones that the counts decide: only selling out is one that is not."""
    story = Story(2, listings=1)
    (ticket_id,) = expected_rows(TICKET_LISTING, story.published())
    writer = Writer(pool, TICKET_LISTING)
    whole = fold(TICKET_LISTING, 0, [event for event in story.published() if event.subject == ticket_id])
    assert whole is not None
    await writer.write([whole], [], {})
    databases.rest()
    for version in range(2, 202):
        change = Change(ticket_id, version - 1, version, {"available": 5, "held": version, "sold": 0})
        await writer.write([change], [], {})
    await pool.close()  # a backend tells its statistics at its end
    with psycopg.connect(database_url) as connection:
        updates, hot = connection.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'ticket_listing'"
        ).fetchall()[0]
    assert updates == 200
    assert hot >= 190

"""Rebuilding read models from the log, beside the live ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.event_log import EventLog
from domain.published import PublishedEvent
from projections import rebuild as module
from projections import rebuild_alone
from projections.models import MODELS
from projections.projection import Projection
from projections.rebuild import REBUILD_LOCK, RebuildError, rebuild
from projections.user_status import USER_STATUS
from projections.writer import Parked, Writer
from tests.projections.stories import Story, append, assert_rows_are_the_fold, stored_rows

ALL = tuple(MODELS.values())

INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) ORDER BY 1, 2"
COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable, collation_name, generation_expression"
    " FROM information_schema.columns WHERE table_name = ANY(%s) ORDER BY 1, ordinal_position"
)
CONSTRAINTS = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE conrelid::regclass::text = ANY(%s) ORDER BY 1, 2"
)
TABLES = (
    "SELECT relname, reloptions::text, relacl::text, relnamespace::regnamespace::text FROM pg_class"
    " WHERE relname = ANY(%s) ORDER BY 1"
)
DESCRIPTIONS = (INDEXES, COLUMNS, CONSTRAINTS, TABLES)


async def log_of(database_url: str, pool: AsyncConnectionPool) -> list[PublishedEvent]:
    return await EventLog(pool).after(0, limit=100_000)


@pytest.fixture
def told(database_url: str) -> Story:
    """A story of a thousand events in the store's log."""
    story = Story(11).tell(400)
    append(database_url, story.events)
    return story


async def test_every_read_model_is_made_from_the_log(
    told: Story, pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 64)  # most aggregates live over several chunks
    seen: list[tuple[int, int]] = []
    rebuilt = await rebuild(pool, EventLog(pool), ALL, lambda position, end: seen.append((position, end)))
    log = await log_of(database_url, pool)
    assert_rows_are_the_fold(database_url, log)
    assert (rebuilt.events, rebuilt.position, rebuilt.parked) == (len(told.events), log[-1].position, 0)
    assert seen == sorted(seen)
    assert seen[-1] == (log[-1].position, log[-1].position)


async def test_an_empty_log_makes_empty_tables(pool: AsyncConnectionPool, database_url: str) -> None:
    await Writer(pool, USER_STATUS).write([], [], {0: 7})
    assert (await rebuild(pool, EventLog(pool), ALL)).events == 0
    assert stored_rows(database_url, USER_STATUS) == {}


async def test_one_read_model_alone(told: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    await rebuild(pool, EventLog(pool), [MODELS["buyer_orders"]])
    assert len(stored_rows(database_url, MODELS["buyer_orders"])) == len(told.orders)
    assert stored_rows(database_url, MODELS["ticket_listing"]) == {}


async def test_a_rebuilt_table_is_the_same_table(told: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    """Columns, indexes, storage, rights and constraints are those of the migration, under the same names."""

    def description() -> list[tuple[object, ...]]:
        with psycopg.connect(database_url, autocommit=True) as connection:
            return [row for query in DESCRIPTIONS for row in connection.execute(query, (list(MODELS),))]

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("GRANT SELECT ON ticket_listing TO PUBLIC")
    before = description()
    assert len(before) > 60
    await rebuild(pool, EventLog(pool), ALL)
    await rebuild(pool, EventLog(pool), ALL)
    assert description() == before
    assert told.tickets


async def test_the_live_worker_goes_on_from_the_rebuilt_rows(
    told: Story, pool: AsyncConnectionPool, database_url: str
) -> None:
    writer = Writer(pool, USER_STATUS)
    await writer.write([], [], {0: 3})
    rebuilt = await rebuild(pool, EventLog(pool), ALL)
    known = await writer.look([told.users[0].id], [0, 1])
    assert known.positions == {0: rebuilt.position, 1: rebuilt.position}
    assert known.versions == {told.users[0].id: told.users[0].version}


async def test_readers_never_see_a_half_built_table(told: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    """While events are appended and the tables are rebuilt again and again, no reader sees a row less."""
    await rebuild(pool, EventLog(pool), ALL)
    done = asyncio.Event()
    counts: list[int] = []

    async def read() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            while not done.is_set():
                cursor = await connection.execute("SELECT count(*) FROM buyer_orders")
                counts.append((await cursor.fetchall())[0][0])

    async def write() -> None:
        while not done.is_set():
            told.events.clear()
            append(database_url, told.tell(20).events)
            await asyncio.sleep(0.01)

    others = asyncio.gather(read(), write())
    for _ in range(5):
        await rebuild(pool, EventLog(pool), ALL)
    done.set()
    await others
    assert counts == sorted(counts)
    assert counts[0] > 0
    assert counts[-1] > counts[0]
    await rebuild(pool, EventLog(pool), ALL)
    assert_rows_are_the_fold(database_url, await log_of(database_url, pool))


class BusyLog(EventLog):
    """Whenever it is read something has just been appended."""

    def __init__(self, pool: AsyncConnectionPool, happen: Callable[[], None]) -> None:
        super().__init__(pool)
        self._happen = happen
        self._readings = 0

    async def after(self, position: int, *, limit: int) -> list[PublishedEvent]:
        self._readings += 1
        assert self._readings < 100, "whoever waits until nothing is left to read waits for ever"
        self._happen()
        return await super().after(position, limit=limit)


async def test_a_log_that_never_stands_still_is_rebuilt(
    told: Story, pool: AsyncConnectionPool, database_url: str
) -> None:
    """The worker is locked out for the last events, and there is never a last one on a marketplace that sells."""

    def happen() -> None:
        told.events.clear()
        while not told.events:
            told.tell(1)
        append(database_url, told.events)

    began_at = await EventLog(pool).end()
    rebuilt = await rebuild(pool, BusyLog(pool, happen), ALL)
    log = await log_of(database_url, pool)
    assert began_at < rebuilt.position
    assert_rows_are_the_fold(database_url, [event for event in log if event.position <= rebuilt.position])


async def test_events_that_cannot_be_projected_are_parked_and_the_others_are_not(
    told: Story, pool: AsyncConnectionPool, database_url: str
) -> None:
    poisoned = told.orders[3].id
    fine = MODELS["buyer_orders"]
    log = await log_of(database_url, pool)
    theirs = [event for event in log if event.subject == poisoned]

    def project(event: PublishedEvent) -> dict[str, object]:
        if event.subject == poisoned and event.sequence >= 2:
            raise ValueError("unknown")
        return fine.project(event)

    broken = Projection(fine.model, fine.topic, fine.columns, project)
    rebuilt = await rebuild(pool, EventLog(pool), [broken])
    assert rebuilt.parked == len(theirs) - 1 > 0
    rows = stored_rows(database_url, fine)
    assert set(rows) == {order.id for order in told.orders}
    assert rows[poisoned][0] == 1
    with psycopg.connect(database_url, autocommit=True) as connection:
        parked = connection.execute(
            "SELECT aggregate_id, sequence, error FROM parked_events ORDER BY sequence"
        ).fetchall()
    assert [row[:2] for row in parked] == [(poisoned, event.sequence) for event in theirs[1:]]
    assert parked[0][2] == "ValueError: unknown"

    assert (await rebuild(pool, EventLog(pool), [fine])).parked == 0
    assert set(stored_rows(database_url, fine)) == {order.id for order in told.orders}
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM parked_events").fetchall() == [(0,)]


async def test_what_the_live_worker_parked_is_mended(told: Story, pool: AsyncConnectionPool, database_url: str) -> None:
    writer = Writer(pool, USER_STATUS)
    await writer.write(
        [], [Parked(0, 1, told.users[0].id, 2, 3, b"", "e"), Parked(0, 2, None, None, None, b"", "e")], {}
    )
    await rebuild(pool, EventLog(pool), [USER_STATUS])
    assert (await writer.look([told.users[0].id], [])).parked == set()


@pytest.mark.parametrize("chunk", [10_000, 50])
async def test_a_gap_in_the_log_leaves_everything_as_it_was(
    told: Story, pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    await rebuild(pool, EventLog(pool), ALL)
    before = {model: stored_rows(database_url, projection) for model, projection in MODELS.items()}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "DELETE FROM stored_events WHERE originator_id = %s AND originator_version = 3", (told.tickets[0].id,)
        )
    with pytest.raises(RebuildError, match="gap"):
        await rebuild(pool, EventLog(pool), ALL)
    assert {model: stored_rows(database_url, projection) for model, projection in MODELS.items()} == before
    with psycopg.connect(database_url) as connection:
        left = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'rebuild'::regnamespace")
        assert left.fetchall() == []


async def test_one_rebuild_at_a_time(
    told: Story, pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_alone, "ALONE_TIMEOUT_MS", 200)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (REBUILD_LOCK,))
        with pytest.raises(RebuildError, match="another"):
            await rebuild(pool, EventLog(pool), ALL)
        connection.execute("SELECT pg_advisory_unlock(%s)", (REBUILD_LOCK,))
    assert (await rebuild(pool, EventLog(pool), ALL)).events == len(told.events)


async def test_a_table_that_somebody_keeps_stops_the_rebuild_and_not_the_readers(
    told: Story, pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_TIMEOUT_MS", 200)
    with psycopg.connect(database_url) as keeper:
        keeper.execute("SELECT count(*) FROM user_status")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await rebuild(pool, EventLog(pool), ALL)
    assert (await rebuild(pool, EventLog(pool), ALL)).events == len(told.events)


async def test_too_much_that_cannot_be_projected_is_this_programs_fault(
    told: Story, pool: AsyncConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PARKED", 10)

    def project(_event: PublishedEvent) -> dict[str, object]:
        raise ValueError("unknown")

    broken = Projection(USER_STATUS.model, USER_STATUS.topic, USER_STATUS.columns, project)
    for _ in range(60):
        told.user_signs_up()
    with pytest.raises(RebuildError, match="more than 10"):
        await rebuild(pool, _Replayed(told.published()), [broken])


class _Replayed:
    """A log in memory."""

    def __init__(self, events: list[PublishedEvent]) -> None:
        self._events = events

    async def history(self, aggregate_id: UUID, *, after_version: int = 0, limit: int = 100) -> list[PublishedEvent]:
        found = [event for event in self._events if event.subject == aggregate_id]
        return [event for event in found if event.sequence > after_version][:limit]

    async def after(self, position: int, *, limit: int) -> list[PublishedEvent]:
        return [event for event in self._events if event.position > position][:limit]

    async def end(self) -> int:
        return self._events[-1].position

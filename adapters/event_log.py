"""The event store's read side: history, the state at any moment, the log in order. Never locks, never writes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from eventsourcing.persistence import MapperDeserialisationError
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.event_codec import decode_event, decode_snapshot
from adapters.event_messages import Message, message
from domain.aggregate import Aggregate, Event, TAggregate
from domain.published import PublishedEvent, publish

_HISTORY = (
    "SELECT topic, state, notification_id FROM stored_events"
    " WHERE originator_id = %s AND originator_version > %s ORDER BY originator_version LIMIT %s"
)
_LOG = (
    "SELECT topic, state, notification_id FROM stored_events"
    " WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
)
_SNAPSHOT = (
    "SELECT topic, state FROM stored_snapshots WHERE originator_id = %s AND originator_version <= %s"
    " ORDER BY originator_version DESC LIMIT 1"
)
_EVENTS = (
    "SELECT topic, state FROM stored_events WHERE originator_id = %s"
    " AND originator_version > %s AND originator_version <= %s ORDER BY originator_version"
)
_NAMING = (
    "SELECT topic, state, notification_id FROM stored_events WHERE originator_id = %s AND originator_version > %s"
    " AND originator_version <= %s AND position(%s::bytea IN state) > 0 ORDER BY originator_version LIMIT %s"
)
_FIRST_POSITION = "SELECT notification_id FROM stored_events WHERE originator_id = %s AND originator_version = 1"
_BEGUN_AT = "SELECT originator_id FROM stored_events WHERE notification_id = %s AND originator_version = 1"
_LAST_VERSION = "SELECT COALESCE(max(originator_version), 0) FROM stored_events WHERE originator_id = %s"


class EventLog:
    """Reads the log through a pool (`adapters.database.make_pool`). Every method may raise `psycopg.OperationalError`
    or `psycopg_pool.PoolTimeout`."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def end(self) -> int:
        """The position of the last event; 0 for an empty log."""
        async with self._pool.connection() as connection:
            return await _one(connection, "SELECT COALESCE(max(notification_id), 0) FROM stored_events", ())

    async def after(self, position: int, *, limit: int) -> list[PublishedEvent]:
        """The log in order, from behind a position."""
        return await self._published(_LOG, (position, limit))

    async def messages(self, position: int, *, limit: int) -> list[Message]:
        """The log in order, from behind a position, as Kafka gets it."""
        return [message(topic, state, at) for topic, state, at in await self._rows(_LOG, (position, limit))]

    async def history(self, aggregate_id: UUID, *, after_version: int = 0, limit: int = 100) -> list[PublishedEvent]:
        """One aggregate's events, oldest first."""
        return await self._published(_HISTORY, (aggregate_id, after_version, limit))

    async def naming(
        self, aggregate_id: UUID, name: UUID, since: datetime, until: datetime, *, limit: int
    ) -> list[PublishedEvent]:
        """One aggregate's events of a time, both ends included, that have an id in them, oldest first.

        It reads all that happened to the aggregate in that time.
        """
        async with self._pool.connection() as connection:
            last = await _one(connection, _LAST_VERSION, (aggregate_id,))
            low = await _version_at(connection, aggregate_id, since - timedelta(microseconds=1), last)
            high = await _version_at(connection, aggregate_id, until, last)
        return await self._published(_NAMING, (aggregate_id, low, high, str(name).encode(), limit))

    async def begun(self, aggregate_id: UUID) -> int:
        """The position of an aggregate's first event; 0: there is none."""
        async with self._pool.connection() as connection:
            return await _one(connection, _FIRST_POSITION, (aggregate_id,))

    async def begun_at(self, position: int) -> UUID | None:
        """The aggregate whose first event is at a position."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_BEGUN_AT, (position,))).fetchone()
        return None if row is None else row[0]

    async def aggregate(
        self, kind: type[TAggregate], aggregate_id: UUID, *, as_of: datetime | None = None
    ) -> TAggregate | None:
        """The aggregate as it is, or as it was at a moment (aware); None where there is, or was, none of this kind."""
        async with self._pool.connection() as connection:
            version = await _one(connection, _LAST_VERSION, (aggregate_id,))
            if as_of is not None:
                version = await _version_at(connection, aggregate_id, as_of, version)
            if version == 0:
                return None
            aggregate = await _load(connection, aggregate_id, version)
        return aggregate if isinstance(aggregate, kind) else None

    async def _published(self, query: Any, parameters: tuple[Any, ...]) -> list[PublishedEvent]:
        return [publish(decode_event(topic, state), at) for topic, state, at in await self._rows(query, parameters)]

    async def _rows(self, query: Any, parameters: tuple[Any, ...]) -> list[tuple[str, bytes, int]]:
        async with self._pool.connection() as connection:
            # Binary: as text every byte of a state is two, and both sides have to turn them.
            return await (await connection.execute(query, parameters, binary=True)).fetchall()


async def _one(connection: AsyncConnection[Any], query: Any, parameters: tuple[Any, ...]) -> int:
    row = await (await connection.execute(query, parameters)).fetchone()
    return int(row[0]) if row is not None else 0


async def _version_at(connection: AsyncConnection[Any], aggregate_id: UUID, moment: datetime, last: int) -> int:
    """The version the aggregate had at a moment; 0: it did not exist yet.

    An aggregate's times never run backwards (`Aggregate.trigger`), so this is a binary search: twenty single-row
    look-ups for a million events.
    """
    low, high = 0, last
    while low < high:
        middle = (low + high + 1) // 2
        if (await _event_at(connection, aggregate_id, middle)).timestamp <= moment:
            low = middle
        else:
            high = middle - 1
    return low


async def _event_at(connection: AsyncConnection[Any], aggregate_id: UUID, version: int) -> Event:
    cursor = await connection.execute(_EVENTS, (aggregate_id, version - 1, version))
    row = await cursor.fetchone()
    assert row is not None, "versions have no gaps"
    return decode_event(row[0], row[1])


async def _load(connection: AsyncConnection[Any], aggregate_id: UUID, version: int) -> Aggregate:
    aggregate: Any = None
    row = await (await connection.execute(_SNAPSHOT, (aggregate_id, version), binary=True)).fetchone()
    if row is not None:
        try:
            aggregate = decode_snapshot(row[0], row[1])
        except MapperDeserialisationError:
            aggregate = None  # the events are all there
    since = 0 if aggregate is None else aggregate.version
    cursor = await connection.execute(_EVENTS, (aggregate_id, since, version), binary=True)
    for topic, state in await cursor.fetchall():
        aggregate = decode_event(topic, state).mutate(aggregate)
    assert isinstance(aggregate, Aggregate)
    return aggregate

"""The event store's write side: one transaction per batch, the lock taken first.

The lock is an advisory one rather than the library's `LOCK TABLE … IN EXCLUSIVE MODE`: the table lock conflicts with
autovacuum's ANALYZE, which would stop every order for as long as that takes (docs/decisions/0004). It serialises
all appends, so positions are committed in the order they are given out, and whoever tails the log misses nothing. A
writer that does use the library's recorder is still safe: its table lock and our INSERT exclude each other, and a
version taken twice is refused by the primary key.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Collection, Container, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import MapperDeserialisationError, StoredEvent
from psycopg import AsyncConnection, AsyncCursor

from adapters.database import APPEND_LOCK, connection_options
from adapters.event_chain import Heads
from adapters.event_codec import EventMapper, decode_event, decode_snapshot, encode_snapshot
from adapters.house_key import HouseKey
from adapters.record_writer import write_records
from domain.aggregate import Aggregate, Event
from domain.ports import KeyUsed, StoreUnavailable, Unreadable
from domain.records import LinkPurpose, Outcome, Record

log = logging.getLogger(__name__)

MAX_TAIL = 2_000
"""Positions looked at under the lock for what others did, some milliseconds' worth; beyond, memory is dropped."""

LOCK_TIMEOUT_MS = 3_000
"""A waiter that gives up tries again; the caller's own deadline ends it."""

IDLE_IN_TRANSACTION_TIMEOUT_MS = 3_000
"""A process stopped while it holds the lock loses it, so that the others go on."""

TRANSACTION_SECONDS = 8.0
"""From the begin to the end: time to wait for the lock and for a slow disk. What takes longer hangs (a proxy that lost
its other side, a server that was stopped), and is found out about on another connection."""

MAX_WAITING_SNAPSHOTS = 64
"""Snapshots are an optimisation: when the disk cannot follow, they are left out."""

OUTCOMES_KEY = "outcomes_pkey"
"""The primary key that refuses a second answer under an idempotency key."""

CHANNEL = "stored_events"
"""NOTIFY on every append: a wake-up for who tails the log, never a promise."""

_SETUP = (
    f"SET lock_timeout = {LOCK_TIMEOUT_MS}; SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_TIMEOUT_MS}"
)
_BEGIN = (
    f"BEGIN; SELECT pg_advisory_xact_lock({APPEND_LOCK})"  # noqa: S608 - a constant
    "; SELECT clock_timestamp(), (SELECT max(notification_id) FROM stored_events)"
)
"""One message to the server, and so is what follows: each statement of it sees what was committed before it began."""
_TAIL = (  # a number of our own is put in, since a message of several statements takes no parameters
    # First events are left out: what another process has made since is not in this one's memory. The LIMIT keeps the
    # planner on the index while the statistics of a growing table are stale.
    "; SELECT originator_id, topic, state, originator_version, chain FROM stored_events"  # noqa: S608 - constants
    " WHERE notification_id > {after:d}"
    f" AND notification_id <= {{after:d}} + {MAX_TAIL} AND originator_version > 1"
    f" ORDER BY notification_id LIMIT {MAX_TAIL}"
)
_INSERT = (
    "WITH appended AS (INSERT INTO stored_events"  # noqa: S608 - constants
    " (originator_id, originator_version, topic, state, chain)"
    " SELECT id, version, topic, state, chain"
    " FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[])"
    " WITH ORDINALITY AS e(id, version, topic, state, chain, place) ORDER BY place RETURNING notification_id)"
    f" SELECT max(notification_id), pg_notify('{CHANNEL}', '') FROM appended"
)
_SNAPSHOTS = (
    "SELECT s.originator_id, s.topic, s.state FROM unnest(%b::uuid[]) AS wanted(id)"
    " CROSS JOIN LATERAL (SELECT * FROM stored_snapshots WHERE originator_id = wanted.id"
    " ORDER BY originator_version DESC LIMIT 1) AS s"
)
_EVENTS_SINCE = (
    "SELECT e.originator_id, e.topic, e.state, e.originator_version, e.chain"
    " FROM unnest(%b::uuid[], %b::bigint[]) AS wanted(id, version)"
    " JOIN stored_events AS e ON e.originator_id = wanted.id AND e.originator_version > wanted.version"
    " ORDER BY e.originator_id, e.originator_version"
)
_CHAIN = (
    "SELECT e.originator_id, e.originator_version, e.chain"
    " FROM unnest(%b::uuid[], %b::bigint[]) AS wanted(id, version)"
    " JOIN stored_events AS e ON e.originator_id = wanted.id AND e.originator_version = wanted.version"
)
_OUTCOMES = (
    "SELECT scope, key, fingerprint, answer FROM unnest(%s::uuid[], %s::text[]) AS asked(scope, key)"
    " JOIN outcomes USING (scope, key)"
)
_LINK_OWNER = "SELECT user_id FROM links WHERE token_hash = %s AND purpose = %s AND expires_at > clock_timestamp()"
_ONE_EVENT = "SELECT topic, state FROM stored_events WHERE originator_id = %s AND originator_version = %s"
_KEEP_SNAPSHOT = "INSERT INTO stored_snapshots VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


class PostgresEventStore:
    """`domain.ports.EventStore` on one connection, used by one task; snapshots go by a second one."""

    def __init__(self, database_url: str, house_key: HouseKey | None = None) -> None:
        """`house_key`: for whoever opens or changes accounts, or asks whose an address is."""
        self._database_url = database_url
        self._house_key = house_key
        self._connection: AsyncConnection[Any] | None = None
        self._mapper = EventMapper()
        self._heads = Heads()
        self._snapshots: asyncio.Queue[StoredEvent | None] = asyncio.Queue(MAX_WAITING_SNAPSHOTS)
        self._writing_snapshots: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def begin(self, after: int | None) -> AsyncIterator[PostgresTransaction]:
        """Locks the log, see `domain.ports.EventStore.begin`."""
        try:
            connection = await self._connected()
        except psycopg.Error as error:
            await self._drop_connection()
            raise StoreUnavailable(_reason(error)) from error
        with _bounded(connection):
            async with self._transaction(connection, after) as transaction:
                yield transaction

    @asynccontextmanager
    async def _transaction(
        self, connection: AsyncConnection[Any], after: int | None
    ) -> AsyncIterator[PostgresTransaction]:
        try:
            cursor = await connection.execute(_BEGIN if after is None else _BEGIN + _TAIL.format(after=after))
            transaction = await _begun(connection, cursor, self._mapper, self._heads, after)
            transaction.house_key = self._house_key
        except psycopg.Error as error:
            await self._drop_connection()
            raise StoreUnavailable(_reason(error)) from error
        try:
            yield transaction
        except psycopg.Error as error:
            if error.diag.constraint_name == OUTCOMES_KEY:
                await self._roll_back(connection)
                raise KeyUsed(_reason(error)) from error
            # Whatever went wrong while the COMMIT was on its way, only the log can tell whether it happened: a backend
            # that is terminated right after it reports an error like any other.
            await self._drop_connection()
            raise StoreUnavailable(_reason(error), in_doubt=transaction.committing) from error
        except BaseException:
            await self._roll_back(connection)
            raise
        if not transaction.committed:
            await self._roll_back(connection)

    def keep_snapshot(self, aggregate: Aggregate) -> None:
        """Takes the state down now, stores it soon; left out when too many wait."""
        if self._writing_snapshots is None:
            self._writing_snapshots = asyncio.get_running_loop().create_task(self._write_snapshots(), name="snapshots")
        with suppress(asyncio.QueueFull):
            self._snapshots.put_nowait(encode_snapshot(aggregate))

    async def close(self) -> None:
        """Stores the snapshots that wait and closes both connections."""
        if self._writing_snapshots is not None:
            await self._snapshots.put(None)
            await self._writing_snapshots
        await self._drop_connection()

    async def _connected(self) -> AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await self._connect()
            with _bounded(self._connection):
                await self._connection.execute(_SETUP)
        return self._connection

    async def _connect(self) -> AsyncConnection[Any]:
        return await AsyncConnection.connect(self._database_url, autocommit=True, **connection_options())

    async def _drop_connection(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _roll_back(self, connection: AsyncConnection[Any]) -> None:
        try:
            await connection.execute("ROLLBACK")
        except psycopg.Error:
            await self._drop_connection()

    async def _write_snapshots(self) -> None:
        connection: AsyncConnection[Any] | None = None
        while (stored := await self._snapshots.get()) is not None:
            try:
                if connection is None or connection.closed:
                    connection = await self._connect()
                with _bounded(connection):
                    await connection.execute(
                        _KEEP_SNAPSHOT, (stored.originator_id, stored.originator_version, stored.topic, stored.state)
                    )
            except psycopg.Error as error:
                log.warning("a snapshot was not stored: %s", _reason(error))
        if connection is not None:
            await connection.close()


async def _begun(
    connection: AsyncConnection[Any], cursor: AsyncCursor[Any], mapper: EventMapper, heads: Heads, after: int | None
) -> PostgresTransaction:
    """Reads the answers to `_BEGIN` (BEGIN, the lock, the clock and the end) and maybe `_TAIL`."""
    cursor.nextset()
    cursor.nextset()
    row = await cursor.fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    now, end = row[0], row[1] or 0
    if after is None or end - after > MAX_TAIL:
        return PostgresTransaction(connection, mapper, heads, now=now, end=end, tail=None)
    cursor.nextset()
    return PostgresTransaction(connection, mapper, heads, now=now, end=end, tail=await cursor.fetchall())


@contextmanager
def _asking() -> Iterator[None]:
    """A question to the store that fails is the store's failure, not that of the command that asked."""
    try:
        yield
    except psycopg.Error as error:
        raise StoreUnavailable(_reason(error)) from error


class PostgresTransaction:
    """`domain.ports.Transaction`; a `psycopg.Error` of `commit` becomes `StoreUnavailable` in `begin`."""

    def __init__(
        self,
        connection: AsyncConnection[Any],
        mapper: EventMapper,
        heads: Heads,
        *,
        now: datetime,
        end: int,
        tail: list[tuple[UUID, str, bytes, int, bytes | None]] | None,
    ) -> None:
        self.now = now
        self._connection = connection
        self._mapper = mapper
        self._heads = heads
        self._end = end
        self._tail = tail
        self.house_key: HouseKey | None = None
        self.committing = False
        self.committed = False

    def events_of_others(self, wanted: Container[UUID]) -> list[Event | Unreadable] | None:
        """See `domain.ports.Transaction`; what is not wanted is not decoded."""
        if self._tail is None:
            return None
        events: list[Event | Unreadable] = []
        for aggregate_id, topic, state, version, chain in self._tail:
            if aggregate_id in wanted:
                try:
                    events.append(decode_event(topic, state))
                except MapperDeserialisationError as error:
                    events.append(Unreadable(aggregate_id, str(error)))
                self._heads.note(aggregate_id, version, chain)
        return events

    async def load(self, ids: Collection[UUID]) -> dict[UUID, Aggregate | Unreadable]:
        """See `domain.ports.Transaction`. A snapshot that cannot be read is passed over: the events are all there."""
        loaded: dict[UUID, Aggregate | Unreadable] = {}
        with _asking():
            for aggregate_id, topic, state in await self._rows(_SNAPSHOTS, (list(ids),)):
                try:
                    loaded[aggregate_id] = decode_snapshot(topic, state)
                except MapperDeserialisationError as error:
                    log.warning("%s", error)
            versions = [getattr(loaded.get(aggregate_id), "version", 0) for aggregate_id in ids]
            for aggregate_id, topic, state, version, chain in await self._rows(_EVENTS_SINCE, (list(ids), versions)):
                loaded[aggregate_id] = _applied(loaded.get(aggregate_id), aggregate_id, topic, state)
                self._heads.note(aggregate_id, version, chain)
        return loaded

    async def outcomes(self, keys: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], Outcome]:
        """See `domain.ports.Transaction`."""
        parameters = ([scope for scope, _ in keys], [key for _, key in keys])
        with _asking():
            return {(row[0], row[1]): Outcome(*row) for row in await self._rows(_OUTCOMES, parameters)}

    async def email_owner(self, email: str) -> UUID | None:
        """See `domain.ports.Transaction`."""
        assert self.house_key is not None, "who asks for addresses has the house key"
        email_hash = self.house_key.address_hash(email)
        with _asking():
            rows = await self._rows("SELECT user_id FROM accounts WHERE email_hash = %s", (email_hash,))
        return rows[0][0] if rows else None

    async def link_owner(self, token_hash: bytes, purpose: LinkPurpose) -> UUID | None:
        """See `domain.ports.Transaction`."""
        with _asking():
            rows = await self._rows(_LINK_OWNER, (token_hash, purpose))
        return rows[0][0] if rows else None

    async def contains(self, event: Event) -> bool:
        """See `domain.ports.Transaction`."""
        with _asking():
            rows = await self._rows(_ONE_EVENT, (event.originator_id, event.originator_version))
        return bool(rows) and decode_event(*rows[0]) == event

    async def commit(self, events: Sequence[Event], records: Sequence[Record]) -> int:
        """See `domain.ports.Transaction`."""
        if not events and not records:
            return self._end
        appended: AsyncCursor[Any] | None = None
        stored = [self._mapper.to_stored_event(event) for event in events]
        if missing := self._heads.missing(stored):
            for aggregate_id, version, chain in await self._rows(_CHAIN, (list(missing), list(missing.values()))):
                self._heads.note(aggregate_id, version, chain)
        chained, heads = self._heads.chain(stored)
        self.committing = True
        async with self._connection.pipeline():
            if stored:
                appended = await self._connection.execute(
                    _INSERT,
                    (
                        [row.originator_id for row in stored],
                        [row.originator_version for row in stored],
                        [row.topic for row in stored],
                        [row.state for row in stored],
                        chained,
                    ),
                )
            await write_records(self._connection, records, self.house_key)
            await self._connection.execute("COMMIT")
        self.committed = True
        self.committing = False
        self._heads.advance(heads)
        if appended is not None and (row := await appended.fetchone()) is not None:
            self._end = row[0]
        return self._end

    async def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[Any]:
        return await (await self._connection.execute(query.encode(), parameters)).fetchall()


def _applied(
    aggregate: Aggregate | Unreadable | None, aggregate_id: UUID, topic: str, state: bytes
) -> Aggregate | Unreadable:
    """The aggregate after one more event."""
    if isinstance(aggregate, Unreadable):
        return aggregate
    try:
        changed: Aggregate = decode_event(topic, state).mutate(aggregate)
    except Exception as error:  # noqa: BLE001 - whatever a history with a hole or a foreign event leads to
        return Unreadable(aggregate_id, f"{type(error).__name__}: {error}")
    return changed


@contextmanager
def _bounded(connection: AsyncConnection[Any]) -> Iterator[None]:
    """Hangs up on a server that says nothing for too long; whoever waits for it gets a `psycopg.OperationalError`.

    The socket is shut down rather than the waiting task cancelled: psycopg answers a cancellation by asking the server
    to cancel, and waits for that without a bound.
    """
    silent = asyncio.get_running_loop().call_later(TRANSACTION_SECONDS, _hang_up, connection)
    try:
        yield
    finally:
        silent.cancel()


def _hang_up(connection: AsyncConnection[Any]) -> None:
    log.warning("the event store said nothing for %s s: its connection is ended", TRANSACTION_SECONDS)
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as ours:
        ours.shutdown(socket.SHUT_RDWR)


def _reason(error: psycopg.Error) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

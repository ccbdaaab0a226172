"""The event store's write side: one transaction per batch, the lock taken first, or in the message that appends.

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
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any

import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg import AsyncConnection, AsyncCursor

from adapters.database import APPEND_LOCK, connection_options
from adapters.event_chain import Heads
from adapters.event_codec import encode_snapshot
from adapters.house_key import HouseKey
from adapters.store_clock import StoreClock
from adapters.store_transaction import (
    MAX_TAIL,
    LockedTransaction,
    OptimisticTransaction,
    StoreTransaction,
    TailRow,
    reason,
)
from domain.aggregate import Aggregate
from domain.ports import KeyUsed, LockNeeded, StoreUnavailable

log = logging.getLogger(__name__)

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
_KEEP_SNAPSHOT = "INSERT INTO stored_snapshots VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


class PostgresEventStore:
    """`domain.ports.EventStore` on one connection, used by one task; snapshots go by a second one."""

    def __init__(self, database_url: str, house_key: HouseKey | None = None) -> None:
        """`house_key`: for whoever opens or changes accounts, or asks whose an address is."""
        self._database_url = database_url
        self._house_key = house_key
        self._connection: AsyncConnection[Any] | None = None
        self._heads = Heads()
        self._clock = StoreClock()
        self._snapshots: asyncio.Queue[StoredEvent | None] = asyncio.Queue(MAX_WAITING_SNAPSHOTS)
        self._writing_snapshots: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def begin(self, after: int | None) -> AsyncIterator[LockedTransaction]:
        """Locks the log, see `domain.ports.EventStore.begin`."""
        async with self._bounded_connection() as connection:
            try:
                cursor = await connection.execute(_BEGIN if after is None else _BEGIN + _TAIL.format(after=after))
                now, end, tail = await _locked(cursor, after)
            except psycopg.Error as error:
                await self._drop_connection()
                raise StoreUnavailable(reason(error)) from error
            self._clock.set(now)
            transaction = LockedTransaction(connection, self._heads, self._house_key, now=now, end=end, tail=tail)
            async with self._ending(connection, transaction):
                yield transaction

    @asynccontextmanager
    async def begin_optimistic(self, after: int) -> AsyncIterator[OptimisticTransaction]:
        """Locks nothing yet, see `domain.ports.EventStore.begin_optimistic`."""
        async with self._bounded_connection() as connection:
            if not self._clock.is_set:
                raise LockNeeded("the store's clock is not known yet")
            transaction = OptimisticTransaction(connection, self._heads, self._clock, end=after)
            async with self._ending(connection, transaction):
                yield transaction

    @asynccontextmanager
    async def _bounded_connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        try:
            connection = await self._connected()
        except psycopg.Error as error:
            await self._drop_connection()
            raise StoreUnavailable(reason(error)) from error
        with _bounded(connection):
            yield connection

    @asynccontextmanager
    async def _ending(self, connection: AsyncConnection[Any], transaction: StoreTransaction) -> AsyncIterator[None]:
        """Leaves the connection as it was found, or drops it."""
        try:
            yield
        except psycopg.Error as error:
            if error.diag.constraint_name == OUTCOMES_KEY:
                if transaction.is_open:
                    await self._roll_back(connection)
                raise KeyUsed(reason(error)) from error
            # Whatever went wrong while the COMMIT was on its way, only the log can tell whether it happened: a backend
            # that is terminated right after it reports an error like any other.
            await self._drop_connection()
            raise StoreUnavailable(reason(error), in_doubt=transaction.committing) from error
        except BaseException:
            if transaction.is_open:
                await self._roll_back(connection)
            raise
        if transaction.is_open:
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
                log.warning("a snapshot was not stored: %s", reason(error))
        if connection is not None:
            await connection.close()


async def _locked(cursor: AsyncCursor[Any], after: int | None) -> tuple[datetime, int, list[TailRow] | None]:
    """Reads the answers to `_BEGIN` (BEGIN, the lock, the clock and the end) and maybe `_TAIL`."""
    cursor.nextset()
    cursor.nextset()
    row = await cursor.fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    now, end = row[0], row[1] or 0
    if after is None or end - after > MAX_TAIL:
        return now, end, None
    cursor.nextset()
    return now, end, await cursor.fetchall()


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

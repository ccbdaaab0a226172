"""The event store's write side: one transaction per batch, the lock taken first.

The lock is an advisory one rather than the library's `LOCK TABLE … IN EXCLUSIVE MODE`: the table lock conflicts with
autovacuum's ANALYZE, which would stop every order for as long as that takes (docs/decisions/0004). It serialises
all appends, so positions are committed in the order they are given out, and whoever tails the log misses nothing. A
writer that does use the library's recorder is still safe: its table lock and our INSERT exclude each other, and a
version taken twice is refused by the primary key.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Collection, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from threading import Thread
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import MapperDeserialisationError, StoredEvent
from psycopg import Connection, Cursor

from adapters.database import APPEND_LOCK, connection_options
from adapters.event_codec import EventMapper, decode_event, decode_snapshot, encode_snapshot
from adapters.record_writer import write_records
from domain.aggregate import Aggregate, Event
from domain.ports import StoreUnavailable
from domain.records import Outcome, Record

log = logging.getLogger(__name__)

MAX_TAIL = 2_000
"""Events of others read under the lock, a few milliseconds' worth; further behind, memory is dropped instead. The LIMIT
also keeps the planner on the index while the statistics of a growing table are stale."""

LOCK_TIMEOUT_MS = 3_000
"""A waiter that gives up tries again; the caller's own deadline ends it."""

IDLE_IN_TRANSACTION_TIMEOUT_MS = 3_000
"""A process stopped while it holds the lock loses it, so that the others go on."""

MAX_WAITING_SNAPSHOTS = 64
"""Snapshots are an optimisation: when the disk cannot follow, they are left out."""

CHANNEL = "stored_events"
"""NOTIFY on every append: a wake-up for who tails the log, never a promise."""

_SETUP = (
    f"SET lock_timeout = {LOCK_TIMEOUT_MS}; SET idle_in_transaction_session_timeout = {IDLE_IN_TRANSACTION_TIMEOUT_MS}"
)
_LOCK = f"SELECT pg_advisory_xact_lock({APPEND_LOCK})"
_NOW_AND_END = "SELECT clock_timestamp(), (SELECT max(notification_id) FROM stored_events)"
_TAIL = (
    "SELECT notification_id, originator_id, topic, state FROM stored_events"
    " WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
)
_INSERT = (
    "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
    " SELECT id, version, topic, state FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[])"
    " WITH ORDINALITY AS e(id, version, topic, state, place) ORDER BY place RETURNING notification_id"
)
_SNAPSHOTS = (
    "SELECT s.originator_id, s.topic, s.state FROM unnest(%b::uuid[]) AS wanted(id)"
    " CROSS JOIN LATERAL (SELECT * FROM stored_snapshots WHERE originator_id = wanted.id"
    " ORDER BY originator_version DESC LIMIT 1) AS s"
)
_EVENTS_SINCE = (
    "SELECT e.originator_id, e.topic, e.state FROM unnest(%b::uuid[], %b::bigint[]) AS wanted(id, version)"
    " JOIN stored_events AS e ON e.originator_id = wanted.id AND e.originator_version > wanted.version"
    " ORDER BY e.originator_id, e.originator_version"
)
_KEEP_SNAPSHOT = "INSERT INTO stored_snapshots VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


class PostgresEventStore:
    """`domain.ports.EventStore` on one connection, used by one thread; snapshots go by a second one."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: Connection[Any] | None = None
        self._mapper = EventMapper()
        self._snapshots: queue.Queue[StoredEvent | None] = queue.Queue(MAX_WAITING_SNAPSHOTS)
        self._snapshot_thread = Thread(target=self._write_snapshots, name="snapshots", daemon=True)
        self._snapshot_thread.start()

    @contextmanager
    def begin(self, after: int | None) -> Iterator[PostgresTransaction]:
        """Locks the log, see `domain.ports.EventStore.begin`."""
        try:
            connection = self._connected()
            with connection.pipeline():
                connection.execute("BEGIN")
                connection.execute(_LOCK)
                clock = connection.execute(_NOW_AND_END)
                tail = None if after is None else connection.execute(_TAIL, (after, MAX_TAIL + 1))
            now, end = clock.fetchone()  # type: ignore[misc]  # a SELECT without FROM has one row
            transaction = PostgresTransaction(connection, self._mapper, now, end or 0, tail)
        except psycopg.Error as error:
            self._drop_connection()
            raise StoreUnavailable(_reason(error)) from error
        try:
            yield transaction
        except psycopg.Error as error:
            # Whatever went wrong while the COMMIT was on its way, only the log can tell whether it happened: a backend
            # that is terminated right after it reports an error like any other.
            self._drop_connection()
            raise StoreUnavailable(_reason(error), in_doubt=transaction.committing) from error
        except BaseException:
            self._roll_back(connection)
            raise
        if not transaction.committed:
            self._roll_back(connection)

    def keep_snapshot(self, aggregate: Aggregate) -> None:
        """Takes the state down now, stores it soon; left out when too many wait."""
        with suppress(queue.Full):
            self._snapshots.put_nowait(encode_snapshot(aggregate))

    def close(self) -> None:
        """Stores the snapshots that wait and closes both connections."""
        self._snapshots.put(None)
        self._snapshot_thread.join()
        self._drop_connection()

    def _connected(self) -> Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._database_url, autocommit=True, **connection_options())
            self._connection.execute(_SETUP)
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _roll_back(self, connection: Connection[Any]) -> None:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            self._drop_connection()

    def _write_snapshots(self) -> None:
        connection: Connection[Any] | None = None
        while (stored := self._snapshots.get()) is not None:
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(self._database_url, autocommit=True, **connection_options())
                connection.execute(
                    _KEEP_SNAPSHOT, (stored.originator_id, stored.originator_version, stored.topic, stored.state)
                )
            except psycopg.Error as error:
                log.warning("a snapshot was not stored: %s", _reason(error))
        if connection is not None:
            connection.close()


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
        self, connection: Connection[Any], mapper: EventMapper, now: datetime, end: int, tail: Cursor[Any] | None
    ) -> None:
        self.now = now
        self._connection = connection
        self._mapper = mapper
        self._end = end
        self._tail = tail
        self.committing = False
        self.committed = False

    def events_of_others(self, wanted: Container[UUID]) -> list[Event] | None:
        """See `domain.ports.Transaction`; what is not wanted is not decoded."""
        rows = None if self._tail is None else self._tail.fetchall()
        if rows is None or len(rows) > MAX_TAIL:
            return None
        return [decode_event(topic, state) for _, aggregate_id, topic, state in rows if aggregate_id in wanted]

    @_asking()
    def load(self, ids: Collection[UUID]) -> dict[UUID, Aggregate]:
        """See `domain.ports.Transaction`. A snapshot that cannot be read is passed over: the events are all there."""
        loaded: dict[UUID, Aggregate] = {}
        for aggregate_id, topic, state in self._connection.execute(_SNAPSHOTS, (list(ids),)):
            try:
                loaded[aggregate_id] = decode_snapshot(topic, state)
            except MapperDeserialisationError as error:
                log.warning("%s", error)
        versions = [loaded[aggregate_id].version if aggregate_id in loaded else 0 for aggregate_id in ids]
        for aggregate_id, topic, state in self._connection.execute(_EVENTS_SINCE, (list(ids), versions)):
            loaded[aggregate_id] = decode_event(topic, state).mutate(loaded.get(aggregate_id))
        return loaded

    @_asking()
    def outcomes(self, keys: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], Outcome]:
        """See `domain.ports.Transaction`."""
        rows = self._connection.execute(
            "SELECT scope, key, fingerprint, answer FROM unnest(%s::uuid[], %s::text[]) AS asked(scope, key)"
            " JOIN outcomes USING (scope, key)",
            ([scope for scope, _ in keys], [key for _, key in keys]),
        )
        return {(row[0], row[1]): Outcome(*row) for row in rows}

    @_asking()
    def email_owner(self, email: str) -> UUID | None:
        """See `domain.ports.Transaction`."""
        row = self._connection.execute("SELECT user_id FROM accounts WHERE email = %s", (email,)).fetchone()
        return None if row is None else row[0]

    @_asking()
    def contains(self, event: Event) -> bool:
        """See `domain.ports.Transaction`."""
        row = self._connection.execute(
            "SELECT topic, state FROM stored_events WHERE originator_id = %s AND originator_version = %s",
            (event.originator_id, event.originator_version),
        ).fetchone()
        return row is not None and decode_event(row[0], row[1]) == event

    def commit(self, events: Sequence[Event], records: Sequence[Record]) -> int:
        """See `domain.ports.Transaction`."""
        if not events and not records:
            return self._end
        inserted: Cursor[Any] | None = None
        self.committing = True
        with self._connection.pipeline():
            if events:
                stored = [self._mapper.to_stored_event(event) for event in events]
                inserted = self._connection.execute(
                    _INSERT,
                    (
                        [row.originator_id for row in stored],
                        [row.originator_version for row in stored],
                        [row.topic for row in stored],
                        [row.state for row in stored],
                    ),
                )
                self._connection.execute(f"NOTIFY {CHANNEL}")
            write_records(self._connection, records)
            self._connection.execute("COMMIT")
        self.committed = True
        self.committing = False
        return self._end if inserted is None else max(row[0] for row in inserted)


def _reason(error: psycopg.Error) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

"""A batch under way: what the store says of aggregates, and the commit. Locked first, or only to append."""

from __future__ import annotations

import logging
from collections.abc import Collection, Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import MapperDeserialisationError
from psycopg import AsyncConnection, AsyncCursor

from adapters.database import CHANNEL
from adapters.event_chain import Heads
from adapters.event_codec import StoredForm, decode_event, decode_snapshot, stored_form
from adapters.house_key import HouseKey
from adapters.record_writer import write_records
from adapters.store_clock import StoreClock
from domain.aggregate import Aggregate, Event
from domain.ports import LockNeeded, StoreUnavailable, Unreadable
from domain.records import LinkPurpose, Outcome, Record

log = logging.getLogger(__name__)

MAX_TAIL = 2_000
"""Positions looked at under the lock for what others did, some milliseconds' worth; beyond, memory is dropped."""

_INSERT = (
    "WITH appended AS (INSERT INTO stored_events"  # noqa: S608 - constants
    " (originator_id, originator_version, topic, state, chain)"
    " SELECT id, version, topic, state, chain"
    " FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[])"
    " WITH ORDINALITY AS e(id, version, topic, state, chain, place) ORDER BY place RETURNING notification_id)"
    f" SELECT max(notification_id), pg_notify('{CHANNEL}', '') FROM appended"
)
_APPEND_ALONE = (
    "SELECT log_end, store_time FROM append_alone(%b, %b,"
    " %b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::bytea[],"
    " %b::uuid[], %b::text[], %b::bytea[], %b::bytea[])"
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
_LOG_END = "SELECT COALESCE(max(notification_id), 0) FROM stored_events"
_CHAIN = (
    "SELECT e.originator_id, e.originator_version, e.chain"
    " FROM unnest(%b::uuid[], %b::bigint[]) AS wanted(id, version)"
    " JOIN stored_events AS e ON e.originator_id = wanted.id AND e.originator_version = wanted.version"
)
_OUTCOMES = (
    "SELECT scope, key, fingerprint, answer FROM unnest(%b::uuid[], %b::text[]) AS asked(scope, key)"
    " JOIN outcomes USING (scope, key)"
)
_EMAIL_OWNER = "SELECT user_id FROM accounts WHERE email_hash = %b"
_LINK_OWNER = "SELECT user_id FROM links WHERE token_hash = %b AND purpose = %b AND expires_at > clock_timestamp()"
_ONE_EVENT = "SELECT topic, state FROM stored_events WHERE originator_id = %b AND originator_version = %b"

TailRow = tuple[UUID, str, bytes, int, bytes | None]
"""Aggregate, name, state, version and hash of an event that another process appended."""


@contextmanager
def _asking() -> Iterator[None]:
    """A question to the store that fails is the store's failure, not that of the command that asked."""
    try:
        yield
    except psycopg.Error as error:
        raise StoreUnavailable(reason(error)) from error


def reason(error: psycopg.Error) -> str:
    """What went wrong, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class StoreTransaction:
    """What both kinds of transaction have in common; the store makes a `StoreUnavailable` of a `psycopg.Error` of
    `commit`."""

    def __init__(self, connection: AsyncConnection[Any], heads: Heads, *, now: datetime, end: int) -> None:
        self.now = now
        self._connection = connection
        self._heads = heads
        self._end = end
        self.is_open = False
        """Whether there is something to roll back."""
        self.committing = False

    async def end_beyond_reach(self) -> int | None:
        """See `domain.ports.Transaction`."""
        with _asking():
            [(end,)] = await self._rows(_LOG_END, ())
        return end if end - self._end > MAX_TAIL else None

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

    async def contains(self, event: Event) -> bool:
        """See `domain.ports.Transaction`."""
        with _asking():
            rows = await self._rows(_ONE_EVENT, (event.originator_id, event.originator_version))
        return bool(rows) and decode_event(*rows[0]) == event

    async def _chained(self, events: Sequence[Event]) -> tuple[Sequence[StoredForm], Sequence[bytes]]:
        """The events as they are stored, and their hashes."""
        stored = [stored_form(event) for event in events]
        if missing := self._heads.missing(stored):
            for aggregate_id, version, chain in await self._rows(_CHAIN, (list(missing), list(missing.values()))):
                self._heads.note(aggregate_id, version, chain)
        return stored, self._heads.chain(stored)

    async def _rows(self, query: str, parameters: tuple[Any, ...]) -> list[Any]:
        return await (await self._connection.execute(query.encode(), parameters, binary=True)).fetchall()


class LockedTransaction(StoreTransaction):
    """The log was locked first: nothing that was read can change before the commit."""

    def __init__(
        self,
        connection: AsyncConnection[Any],
        heads: Heads,
        house_key: HouseKey | None,
        *,
        now: datetime,
        end: int,
        tail: list[TailRow] | None,
    ) -> None:
        super().__init__(connection, heads, now=now, end=end)
        self.is_open = True
        self._house_key = house_key
        self._tail = tail

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

    async def email_owner(self, email: str) -> UUID | None:
        """See `domain.ports.Transaction`."""
        assert self._house_key is not None, "who asks for addresses has the house key"
        with _asking():
            rows = await self._rows(_EMAIL_OWNER, (self._house_key.address_hash(email),))
        return rows[0][0] if rows else None

    async def link_owner(self, token_hash: bytes, purpose: LinkPurpose) -> UUID | None:
        """See `domain.ports.Transaction`."""
        with _asking():
            rows = await self._rows(_LINK_OWNER, (token_hash, purpose))
        return rows[0][0] if rows else None

    async def commit(self, events: Sequence[Event], records: Sequence[Record]) -> int:
        """See `domain.ports.Transaction`."""
        if not events and not records:
            return self._end
        appended: AsyncCursor[Any] | None = None
        stored, hashes = await self._chained(events)
        self.committing = True
        async with self._connection.pipeline():
            if stored:
                appended = await self._connection.execute(_INSERT, (*_columns(stored), hashes))
            await write_records(self._connection, records, self._house_key)
            await self._connection.execute("COMMIT")
        self.is_open = self.committing = False
        self._heads.advance(stored, hashes)
        if appended is not None and (row := await appended.fetchone()) is not None:
            self._end = row[0]
        return self._end


class OptimisticTransaction(StoreTransaction):
    """Nothing is locked before the commit, which is refused (`LockNeeded`) if anybody has appended in the meantime.

    Until then the log is what it was, so whatever was read of it is good. Of what can change without an event, only the
    answers under idempotency keys are read and written here: their primary key tells.
    """

    def __init__(self, connection: AsyncConnection[Any], heads: Heads, clock: StoreClock, *, end: int) -> None:
        super().__init__(connection, heads, now=clock.now(), end=end)
        self._clock = clock

    def events_of_others(self, wanted: Container[UUID]) -> list[Event | Unreadable]:  # noqa: ARG002 - the port's
        """None that can be seen; the commit tells."""
        return []

    async def email_owner(self, email: str) -> UUID | None:  # noqa: ARG002 - the port's
        """Always refused."""
        raise LockNeeded("whose an address is can change without an event")

    async def link_owner(self, token_hash: bytes, purpose: LinkPurpose) -> UUID | None:  # noqa: ARG002 - the port's
        """Always refused."""
        raise LockNeeded("whose a link is can change without an event")

    async def commit(self, events: Sequence[Event], records: Sequence[Record]) -> int:
        """See `domain.ports.Transaction`. Asks the store even with nothing to write: what was decided may be old."""
        outcomes = [record for record in records if isinstance(record, Outcome)]
        if len(outcomes) < len(records):
            raise LockNeeded("records are written under the lock")
        stored, hashes = await self._chained(events)
        answers = (
            [outcome.scope for outcome in outcomes],
            [outcome.key for outcome in outcomes],
            [outcome.fingerprint for outcome in outcomes],
            [outcome.answer for outcome in outcomes],
        )
        self.committing = True
        [(log_end, store_time)] = await self._rows(
            _APPEND_ALONE, (self._end, self.now, *_columns(stored), hashes, *answers)
        )
        self.committing = False
        if log_end is None:
            raise LockNeeded("others appended meanwhile, or the clock was off")
        self._clock.note(store_time)
        self._heads.advance(stored, hashes)
        return int(log_end)


def _columns(stored: Sequence[StoredForm]) -> tuple[list[UUID], list[int], list[str], list[bytes]]:
    return (
        [row.aggregate_id for row in stored],
        [row.version for row in stored],
        [row.topic for row in stored],
        [row.state for row in stored],
    )


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

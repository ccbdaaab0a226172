"""Parked events: what is kept aside, another try from the log, taking them away.

Another try runs beside the workers, with no lock but those of its own writes. Why that is safe:

- The row is written by the worker's own statements (projections/statements.py). They never set a row back and never
  jump over an event, so it does not matter who writes it first.
- A parked event is deleted only in a transaction that sees the row at or beyond it. What a worker parks meanwhile lies
  behind the row, stays parked, and is what the next round begins with.
- A worker looks what is parked before its transaction. One that looked before an aggregate was freed may still park
  what follows for it. So the aggregates are looked at once more, `SETTLE_SECONDS` after the last one was freed. What a
  worker parks that was stopped for longer between look and transaction is seen in the list, and the next try frees it.
- Locks are taken in the order of workers and of the rebuild's swap: the read model's table, then `parked_events`. So
  nobody waits in a circle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from psycopg_pool import AsyncConnectionPool

from projections.log import Log
from projections.models import MODELS
from projections.projection import Change, Projection, fold_some
from projections.statements import statements

HISTORY_CHUNK = 1_000
"""Events of an aggregate read at a time."""

MAX_ROUNDS = 10
"""For one aggregate. The first reads all that is missing, each other one what was parked while the one before ran."""

SETTLE_SECONDS = 0.5
"""Far longer than from a worker's look to its commit, which is some tens of milliseconds."""

MAX_SETTLING = 3
"""Looks after that. A worker has one batch under way, so the second should find nothing."""

MAX_AGGREGATES = 10_000
"""Listed or tried in one go. When more are stuck it is not some events that are wrong; a rebuild is the better cure."""

Place = tuple[str, UUID | None]
"""A read model, and an aggregate; None for messages whose key is no id."""

_COUNTS = "SELECT model, count(*) FROM parked_events GROUP BY model"
_STUCK = (
    "SELECT model, aggregate_id, count(*), min(sequence), min(parked_at),"
    " (array_agg(error ORDER BY sequence NULLS LAST, id))[1] FROM parked_events"
    " WHERE %s::text IS NULL OR model = %s GROUP BY model, aggregate_id ORDER BY model, min(id) LIMIT %s"
)
_EVENTS = (
    "SELECT sequence, position, topic, partition, kafka_offset, parked_at, error, raw FROM parked_events"
    " WHERE model = %s AND aggregate_id IS NOT DISTINCT FROM %s ORDER BY sequence NULLS LAST, id LIMIT %s"
)
_SEEN = (
    "SELECT COALESCE(max(sequence) FILTER (WHERE position IS NOT NULL), 0),"
    " COALESCE(array_agg(id) FILTER (WHERE position IS NULL OR sequence IS NULL), '{}')"
    " FROM parked_events WHERE model = %s AND aggregate_id = %s"
)
_VERSION = SQL("SELECT version FROM {} WHERE id = %s")
_FREE = (
    "DELETE FROM parked_events WHERE model = %s AND aggregate_id = %s AND (sequence <= %s OR id = ANY(%s::bigint[]))"
)
_SAY = (
    "UPDATE parked_events SET error = %s WHERE id = (SELECT id FROM parked_events"
    " WHERE model = %s AND aggregate_id = %s ORDER BY sequence NULLS LAST, id LIMIT 1)"
)
_LEFT = "SELECT count(*) FROM parked_events WHERE model = %s AND aggregate_id IS NOT DISTINCT FROM %s"
_DROP = "DELETE FROM parked_events WHERE model = %s AND aggregate_id IS NOT DISTINCT FROM %s"


@dataclass(frozen=True, slots=True)
class Stuck:
    """An aggregate of which a read model has parked events."""

    model: str
    aggregate_id: UUID | None
    """None: messages whose key is no id."""
    events: int
    first_sequence: int | None
    """None: it cannot be read."""
    parked_at: datetime
    """When the first was."""
    error: str
    """What is wrong with the first; the others follow it."""


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """One row of `parked_events`; see there for what is None when."""

    sequence: int | None
    position: int | None
    topic: str
    partition: int | None
    kafka_offset: int | None
    parked_at: datetime
    error: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Retried:
    """What another try made of one aggregate."""

    model: str
    aggregate_id: UUID | None
    applied: int = 0
    """Parked events that are parked no more: the row shows them, or the log does not have them."""
    version: int = 0
    """What the row is at now; 0: there is none."""
    left: int = 0
    """Events still parked."""
    error: str | None = None
    """Why; None: nothing is left."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What is left after parked events were taken away."""

    events: int
    version: int
    """What the row is at; 0: there is none."""
    behind: bool
    """Whether the log has events of this aggregate that the row does not show."""


async def count_parked(pool: AsyncConnectionPool) -> dict[str, int]:
    """Parked events by read model, also of read models that this version of the program does not have.

    Raises:
        psycopg.OperationalError (also as psycopg_pool.PoolTimeout).
    """
    async with pool.connection() as connection:
        rows: list[tuple[str, int]] = await (await connection.execute(_COUNTS)).fetchall()
    return dict.fromkeys(MODELS, 0) | dict(rows)


class ParkedEvents:
    """The parked events of every read model. Every method may raise `psycopg.Error`."""

    def __init__(self, pool: AsyncConnectionPool, log: Log, models: Mapping[str, Projection] = MODELS) -> None:
        self._pool = pool
        self._log = log
        self._models = models

    async def stuck(self, model: str | None = None) -> list[Stuck]:
        """The aggregates with parked events, of one read model or all; `MAX_AGGREGATES` at most."""
        return [Stuck(*row) for row in await self._rows(_STUCK, (model, model, MAX_AGGREGATES))]

    async def events(self, place: Place, limit: int) -> list[ParkedEvent]:
        """What is parked of one aggregate, in order."""
        return [ParkedEvent(*row) for row in await self._rows(_EVENTS, (*place, limit))]

    async def retry(self, places: Sequence[Place], progress: Callable[[int], None] = lambda _: None) -> list[Retried]:
        """Applies what is parked from the log, each aggregate in transactions of its own.

        Args:
            progress: told after every aggregate how many were tried.
        """
        results: dict[Place, Retried] = {}
        for place in places:
            results[place] = await self._retry(place)
            progress(len(results))
        for _ in range(MAX_SETTLING):
            freed = {place for place, result in results.items() if result.error is None}
            if not freed:
                break
            await asyncio.sleep(SETTLE_SECONDS)
            again = freed & {(stuck.model, stuck.aggregate_id) for stuck in await self.stuck()}
            if not again:
                break
            for place in again:
                more = await self._retry(place)
                results[place] = replace(more, applied=results[place].applied + more.applied)
        return list(results.values())

    async def drop(self, place: Place) -> Dropped:
        """Takes away what is parked of one aggregate. Its row stays as it is, and nothing is marked as seen."""
        model, aggregate_id = place
        async with self._pool.connection() as connection:
            events = (await connection.execute(_DROP, place)).rowcount
        projection = self._models.get(model)
        if projection is None or aggregate_id is None:
            return Dropped(events, 0, behind=False)
        version = await self._version(projection, aggregate_id)
        return Dropped(events, version, await self._is_behind(projection, aggregate_id, version))

    # One aggregate ------------------------------------------------------------------------------------------------

    async def _retry(self, place: Place) -> Retried:
        model, aggregate_id = place
        projection = self._models.get(model)
        if projection is None or aggregate_id is None:
            left = (await self._rows(_LEFT, place))[0][0]
            why = "this version has no such read model" if projection is None else "its key is no id"
            return Retried(model, aggregate_id, left=left, error=why)
        result = Retried(model, aggregate_id)
        for _ in range(MAX_ROUNDS):
            again = await self._round(projection, aggregate_id)
            result = replace(again, applied=result.applied + again.applied)
            if result.error is not None or not result.left:
                return result
        return replace(result, error="it is parked faster than it can be applied")

    async def _round(self, projection: Projection, aggregate_id: UUID) -> Retried:
        # Before the log is read: what the relay sent is in the log, and what it did not send is none of the log's.
        wanted, strays = (await self._rows(_SEEN, (projection.model, aggregate_id)))[0]
        base = await self._version(projection, aggregate_id)
        change, error = await self._fold(projection, aggregate_id, base)
        reached = base if change is None else change.version
        if error is None and reached == 0:
            error = "the log has no event of it"
        elif error is None and reached < wanted:
            error = f"the log ends at event {reached} of it"
        done = _Folded(change, reached, strays, error)
        try:
            return await self._write(projection, aggregate_id, done)
        except (psycopg.DataError, psycopg.IntegrityError) as refused:
            return await self._write(projection, aggregate_id, _Folded(None, base, [], _said(refused)))

    async def _fold(self, projection: Projection, aggregate_id: UUID, base: int) -> tuple[Change | None, str | None]:
        """What the log makes of the row from version `base` on, as far as possible, and why no further."""
        change: Change | None = None
        reached, limit = base, HISTORY_CHUNK
        while True:  # every turn comes nearer to the log's end, or halves the limit
            try:
                events = await self._log.history(aggregate_id, after_version=reached, limit=limit)
            except psycopg.Error:
                raise
            except Exception as error:  # noqa: BLE001 - whatever the store raises for an event it cannot read
                if limit == 1:
                    return change, f"cannot be read: {error}"
                limit //= 2  # those before it can
                continue
            if events and events[0].topic != projection.topic:
                return None, f"{events[0].type} does not belong to {projection.topic}"
            more, trouble = fold_some(projection, reached, events)
            if more is not None and change is not None:
                change.extend(more)
            change = change or more
            reached = base if change is None else change.version
            if trouble is not None or len(events) < limit:
                return change, None if trouble is None else _said(trouble)

    async def _write(self, projection: Projection, aggregate_id: UUID, folded: _Folded) -> Retried:
        """Writes the row and frees what it shows, in one transaction; what stays parked gets the new error."""
        place = (projection.model, aggregate_id)
        changes = [] if folded.change is None else [folded.change]
        async with self._pool.connection() as connection, connection.transaction():
            for query, parameters, _ in statements(projection, (projection.model,), changes):
                await connection.execute(query, parameters)
            # Another may have written the row meanwhile; a rebuild may even have put an older one in its place.
            version = await _version_of(connection, projection, aggregate_id)
            complete = folded.error is None and version >= folded.reached
            freed = await connection.execute(_FREE, (*place, version, folded.strays if complete else []))
            if folded.error is not None:
                await connection.execute(_SAY, (folded.error, *place))
            left = (await (await connection.execute(_LEFT, place)).fetchall())[0][0]
        return Retried(*place, freed.rowcount, version, left, folded.error if left else None)

    async def _version(self, projection: Projection, aggregate_id: UUID) -> int:
        async with self._pool.connection() as connection:
            return await _version_of(connection, projection, aggregate_id)

    async def _is_behind(self, projection: Projection, aggregate_id: UUID, version: int) -> bool:
        try:
            events = await self._log.history(aggregate_id, after_version=version, limit=1)
        except psycopg.Error:
            raise
        except Exception:  # noqa: BLE001 - an event that cannot be read is one that the row does not show
            return True
        return bool(events) and events[0].topic == projection.topic

    async def _rows(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchall()


@dataclass(frozen=True, slots=True)
class _Folded:
    """What one round has to write."""

    change: Change | None
    reached: int
    """The version the row is at with it."""
    strays: list[int]
    """Rows of `parked_events` that the relay did not send, or whose number cannot be read."""
    error: str | None
    """Why the log could not be folded to its end."""


async def _version_of(connection: AsyncConnection[Any], projection: Projection, aggregate_id: UUID) -> int:
    """Of the row; 0: there is none."""
    cursor = await connection.execute(_VERSION.format(Identifier(projection.model)), (aggregate_id,))
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

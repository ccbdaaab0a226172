"""Builds read models anew from the log, beside the live ones, and swaps them in while readers and the worker go on.

Most of the log is folded without any lock. For the last events the worker is kept out (readers are not), and the swap,
the checkpoints and the parked events are one transaction. What Kafka delivers again afterwards is at or below the new
rows' versions and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from psycopg_pool import AsyncConnectionPool

from domain.published import PublishedEvent
from projections import shadow
from projections.log import Log
from projections.projection import Change, Projection, SequenceGap, fold_some
from projections.statements import statements
from projections.writer import REBUILT, Parked, checkpoint, park

CHUNK = 10_000
"""Events folded at a time: tens of megabytes, and a hot listing is one update among thousands of events."""

MAX_ROUNDS = 20
"""Rounds of catching up before the worker is locked out. Each is far shorter than the one before, or the log grows
faster than it can be folded, and then the rest has to be folded under the lock anyway."""

MAX_PARKED = 10_000
"""Beyond that it is not some events that are wrong but this version of the program, and the live rows are better."""

LOCK_TIMEOUT_MS = 5_000
"""Somebody who keeps the table that long stops the rebuild, rather than all others who would wait behind it."""

REBUILD_LOCK = 0x5D00_0003
"""The advisory lock of the one rebuild that may run."""


class RebuildError(Exception):
    """The rebuild was given up; the live read models are as they were. The text says why."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did."""

    events: int
    """Folded, of all topics."""
    seconds: float
    position: int
    """Of the last event folded."""
    parked: int
    """Events that could not be projected, with what followed them."""


async def rebuild(
    pool: AsyncConnectionPool,
    log: Log,
    projections: Iterable[Projection],
    progress: Callable[[int, int], None] = lambda _position, _end: None,
) -> Rebuilt:
    """Rebuilds the read models in one pass over the log.

    Args:
        pool: with at least two connections.
        progress: told after every chunk how far in the log it is, and where that ends (positions).

    Raises:
        RebuildError: see there.
        psycopg.Error: the database refused or went away; the live read models are as they were.
    """
    began = monotonic()
    async with pool.connection() as connection, _alone(connection):
        build = _Build(connection, log, tuple(projections), progress)
        try:
            await build.run()
        finally:
            await build.forget_next()
            if not connection.closed:
                await connection.execute("RESET synchronous_commit")
                for projection in build.projections:
                    await shadow.drop(connection, projection.model)
    return Rebuilt(build.events, monotonic() - began, build.position, sum(map(len, build.parked.values())))


@asynccontextmanager
async def _alone(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    row = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", (REBUILD_LOCK,))).fetchone()
    if row is None or not row[0]:
        raise RebuildError("another rebuild is running")
    try:
        yield
    finally:
        if not connection.closed:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (REBUILD_LOCK,))


class _Build:
    """One rebuild under way."""

    def __init__(
        self,
        connection: AsyncConnection[Any],
        log: Log,
        projections: tuple[Projection, ...],
        progress: Callable[[int, int], None],
    ) -> None:
        self.projections = projections
        self.position = 0
        self.events = 0
        self.parked: dict[str, list[Parked]] = {projection.model: [] for projection in projections}
        self._stuck: set[tuple[str, UUID]] = set()
        self._connection = connection
        self._log = log
        self._progress = progress
        self._end = 0
        self._next: asyncio.Future[list[PublishedEvent]] | None = None

    async def run(self) -> None:
        connection = self._connection
        for projection in self.projections:
            await shadow.create(connection, projection.model)
        await connection.execute("SET synchronous_commit = off")  # there is nothing to lose until the swap
        await self._catch_up()
        for projection in self.projections:
            await shadow.finish(connection, projection.model)
        await self._catch_up()
        await connection.execute("RESET synchronous_commit")
        async with connection.transaction():
            await self._swap()

    async def _catch_up(self) -> None:
        """Folds until less than a chunk is left."""
        for _ in range(MAX_ROUNDS):
            self._end = await self._log.end()
            while self.position < self._end:
                if await self._fold_chunk() < CHUNK:
                    return

    async def _swap(self) -> None:
        connection = self._connection
        await connection.execute(SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT_MS))
        for projection in self.projections:
            table = Identifier(projection.model)
            await connection.execute(SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(table))
        await self.forget_next()  # it was read before the lock
        while await self._fold_chunk():
            pass
        for projection in self.projections:
            await shadow.swap(connection, projection.model)
            await connection.execute(
                "DELETE FROM parked_events WHERE model = %s AND (position IS NULL OR position <= %s)",
                (projection.model, self.position),
            )
            await park(connection, projection, self.parked[projection.model])
            await checkpoint(connection, projection, {REBUILT: self.position})

    async def _fold_chunk(self) -> int:
        """Folds the next events of the log into the shadows; returns how many there were."""
        events = await (self._next or self._read(self.position))
        self._next = None
        if events:
            changes = [(projection, self._changes(projection, events)) for projection in self.projections]
            self.events += len(events)
            self.position = events[-1].position
            if len(events) == CHUNK:
                self._next = asyncio.ensure_future(self._read(self.position))  # while this chunk is written
            async with self._connection.transaction():
                for projection, of_model in changes:
                    await self._write(projection, of_model)
            self._end = max(self._end, self.position)
            self._progress(self.position, self._end)
        return len(events)

    async def forget_next(self) -> None:
        """Ends the reading ahead."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.wait([self._next])
            self._next = None

    async def _read(self, position: int) -> list[PublishedEvent]:
        return await self._log.after(position, limit=CHUNK)

    def _changes(self, projection: Projection, events: list[PublishedEvent]) -> list[Change]:
        runs: dict[UUID, list[PublishedEvent]] = {}
        for event in events:
            if event.topic == projection.topic:
                runs.setdefault(event.subject, []).append(event)
        folded = (self._fold(projection, aggregate_id, run) for aggregate_id, run in runs.items())
        return [change for change in folded if change is not None]

    def _fold(self, projection: Projection, aggregate_id: UUID, run: list[PublishedEvent]) -> Change | None:
        """One aggregate's change, as far as its events can be projected; the others are parked."""
        change: Change | None = None
        error: Exception | None = None
        if (projection.model, aggregate_id) not in self._stuck:
            change, error = fold_some(projection, run[0].sequence - 1, run)
            if error is None:
                return change
            if isinstance(error, SequenceGap):
                raise RebuildError(f"the log has a gap: {error}") from error
            self._stuck.add((projection.model, aggregate_id))
        reason = "follows a parked event" if error is None else f"{type(error).__name__}: {error}"
        done = 0 if change is None else change.version - change.base
        self.parked[projection.model] += [
            # The event itself lies in the log: what is kept of it here is for people to read.
            Parked(None, None, event.subject, event.sequence, event.position, msgspec.json.encode(event), reason)
            for event in run[done:]
        ]
        if len(self.parked[projection.model]) > MAX_PARKED:
            raise RebuildError(f"more than {MAX_PARKED} events cannot be projected, the last: {reason}")
        return change

    async def _write(self, projection: Projection, changes: list[Change]) -> None:
        for query, parameters in statements(projection, (shadow.SCHEMA, projection.model), changes):
            cursor = await self._connection.execute(query, parameters)
            if cursor.rowcount != len(parameters[0]):
                missing = len(parameters[0]) - cursor.rowcount
                raise RebuildError(f"the log has a gap: earlier events of {missing} aggregates are missing")

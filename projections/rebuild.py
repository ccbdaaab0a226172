"""Builds read models anew from the log, beside the live ones, and swaps them in while readers and the worker go on.

Most of the log is folded without any lock. For the last events the worker is kept out (readers are not), and the swap,
the checkpoints and the parked events are one transaction. What Kafka delivers again afterwards is at or below the new
rows' versions and changes nothing. Whatever ends it before the swap, the next one goes on (`rebuild_notes`), and
before the swap it says what will be different (`rebuild_compare`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from psycopg_pool import AsyncConnectionPool

from domain.published import PublishedEvent
from projections import rebuild_notes as notes
from projections import shadow
from projections.log import Log
from projections.positions import REBUILT
from projections.projection import Projection, SequenceGap
from projections.rebuild_alone import REBUILD_LOCK, RebuildError, alone
from projections.rebuild_compare import Comparison, compare
from projections.rebuild_fold import Folded, Folder
from projections.statements import statements
from projections.writer import checkpoint

__all__ = ["REBUILD_LOCK", "RebuildError", "Rebuilt", "rebuild"]

CHUNK = 10_000
"""Events folded at a time: tens of megabytes, and a hot listing is one update among thousands of events."""

MAX_ROUNDS = 20
"""Rounds of catching up before the worker is locked out. Each is far shorter than the one before, or the log grows
faster than it can be folded, and then the rest has to be folded under the lock anyway."""

MAX_PARKED = 10_000
"""Beyond that it is not some events that are wrong but this version of the program, and the live rows are better."""

LOCK_TIMEOUT_MS = 5_000
"""Somebody who keeps the table that long stops the rebuild, rather than all others who would wait behind it."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did."""

    events: int
    """Folded, of all topics, by this one and those it went on from."""
    earlier: int
    """Of these, folded before this one began."""
    seconds: float
    """Of this one."""
    position: int
    """Of the last event folded."""
    parked: int
    """Events that could not be projected, with what followed them."""
    compared: tuple[Comparison, ...]
    """By model; one that is not here took too long to compare."""


async def rebuild(
    pool: AsyncConnectionPool,
    log: Log,
    projections: Iterable[Projection],
    progress: Callable[[int, int], None] = lambda _position, _end: None,
    *,
    say: Callable[[str], None] = lambda _line: None,
    from_start: bool = False,
    dry_run: bool = False,
) -> Rebuilt:
    """Rebuilds the read models in one pass over the log. Cancelled or cut off at any point, the next one goes on.

    Args:
        pool: with at least two connections.
        progress: told at first and after every chunk how far in the log it is, and where that ends (positions).
        say: told in a line what it does besides.
        from_start: go on from nothing, whatever there is.
        dry_run: build and compare, and leave the live read models as they are.

    Raises:
        RebuildError: see there.
        psycopg.Error: the database refused or went away; the live read models are as they were.
    """
    began = monotonic()
    build = _Build(pool, log, tuple(projections), progress=progress, say=say)
    try:
        await build.run(from_start=from_start, dry_run=dry_run)
    except asyncio.CancelledError:
        if not await build.is_swapped():
            raise  # else it came too late
    return Rebuilt(build.events, build.earlier, monotonic() - began, build.position, build.parked, build.compared)


class _Build:
    """One rebuild under way."""

    _connection: AsyncConnection[Any]

    def __init__(
        self,
        pool: AsyncConnectionPool,
        log: Log,
        projections: tuple[Projection, ...],
        *,
        progress: Callable[[int, int], None],
        say: Callable[[str], None],
    ) -> None:
        self.position = 0
        self.events = 0
        self.earlier = 0
        self.parked = 0
        self.compared: tuple[Comparison, ...] = ()
        self._pool = pool
        self._log = log
        self._projections = projections
        self._progress = progress
        self._say = say
        self._models = [projection.model for projection in projections]
        self._tables = [table for projection in projections for table in projection.tables]
        self._fingerprints: dict[str, str] = {}
        self._folder = Folder(projections, ())
        self._end = 0
        self._next: asyncio.Future[list[PublishedEvent]] | None = None
        self._swapping = False

    async def run(self, *, from_start: bool, dry_run: bool) -> None:
        async with self._pool.connection() as self._connection, alone(self._connection):
            try:
                await self._begin(from_start=from_start)
                await self._fill()
                await (self._drop() if dry_run else self._swap())
            except RebuildError:
                await self._drop()
                raise
            finally:
                await self._forget_next()

    async def is_swapped(self) -> bool:
        """Whether the new tables are live. A cancellation can come while the swap is being committed, or after it."""
        if not self._swapping:
            return False
        async with self._pool.connection() as connection:
            return await notes.left_at(connection, self._models) is None

    async def _begin(self, *, from_start: bool) -> None:
        """Finds what it can go on from, or makes empty shadows."""
        for projection in self._projections:
            self._fingerprints[projection.model] = await notes.fingerprint(self._connection, projection)
        self._end = await self._log.end()
        note = None if from_start else await self._unfinished()
        if note is None:
            await self._begin_anew()
        else:
            self.position, self.events, self.earlier, self.parked = note.position, note.events, note.events, note.parked
            self._folder = Folder(self._projections, note.stuck)
            self._say(f"going on from position {self.position:,}")
        self._progress(self.position, self._end)

    async def _unfinished(self) -> notes.Note | None:
        try:
            return await notes.find(self._connection, self._fingerprints, self._end)
        except notes.Outdated as why:
            self._say(f"beginning anew: {why}")
            return None

    async def _begin_anew(self) -> None:
        async with self._connection.transaction():
            for table in self._tables:
                await shadow.create(self._connection, table)
            await notes.begin(self._connection, self._fingerprints)

    async def _fill(self) -> None:
        """Folds the log into the shadows and compares them with the live tables, all without a lock."""
        await self._catch_up()
        self._say("making the indexes")
        for table in self._tables:
            await shadow.finish(self._connection, table)
        await self._catch_up()
        self._say("comparing with the live tables")
        self.compared = await compare(self._pool, self._connection, self._log, self._projections, self._fold_all)

    async def _drop(self) -> None:
        """Leaves nothing behind."""
        async with self._connection.transaction():
            for table in self._tables:
                await shadow.drop(self._connection, table)
            await notes.forget(self._connection, self._models)
            await notes.tidy(self._connection)

    async def _swap(self) -> None:
        """Folds the last events with the worker locked out, and puts the shadows in the live tables' place.

        The last are those in the log by now: the worker has come to none beyond, and will bring what is appended from
        now on. To wait for a moment in which nothing is would be to keep it out for as long as orders come.
        """
        await self._catch_up()  # comparing took a while, and what came meanwhile needs no lock
        connection = self._connection
        self._swapping = True
        async with connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit TO DEFAULT")
            await connection.execute(SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT_MS))
            for table in self._tables:
                await connection.execute(SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(Identifier(table)))
            await self._fold_all()
            for projection in self._projections:
                await self._swap_one(projection)
            await notes.hand_over(connection, self._models)
            await notes.forget(connection, self._models)
            await notes.tidy(connection)

    async def _swap_one(self, projection: Projection) -> None:
        if await notes.fingerprint(self._connection, projection) != self._fingerprints[projection.model]:
            raise RebuildError(f"the table {' or '.join(projection.tables)} was changed meanwhile")
        for table in projection.tables:
            await shadow.swap(self._connection, table)
        await self._connection.execute(
            "DELETE FROM parked_events WHERE model = %s AND (position IS NULL OR position <= %s)",
            (projection.model, self.position),
        )
        await checkpoint(self._connection, projection, {REBUILT: self.position})

    async def _catch_up(self) -> None:
        """Folds until less than a chunk is left."""
        for _ in range(MAX_ROUNDS):
            self._end = await self._log.end()
            while self.position < self._end:
                if await self._fold_chunk() < CHUNK:
                    return

    async def _fold_all(self) -> int:
        """Folds everything that is in the log by now; returns the position."""
        await self._forget_next()  # it may have been read before
        end = await self._log.end()
        while self.position < end and await self._fold_chunk():
            pass
        return self.position

    async def _fold_chunk(self) -> int:
        """Folds the next events of the log into the shadows; returns how many there were."""
        events = await (self._next or self._read(self.position))
        self._next = None
        if events:
            folded = self._fold(events)
            self.events += len(events)
            self.position = events[-1].position
            if len(events) == CHUNK:
                self._next = asyncio.ensure_future(self._read(self.position))  # while this chunk is written
            async with self._connection.transaction():
                for of_model in folded:
                    await self._write(of_model)
                await notes.reach(self._connection, self._models, self.position, self.events)
            self._end = max(self._end, self.position)
            self._progress(self.position, self._end)
        return len(events)

    def _fold(self, events: list[PublishedEvent]) -> list[Folded]:
        try:
            folded = self._folder.fold(events)
        except SequenceGap as error:
            raise RebuildError(f"the log has a gap: {error}") from error
        for of_model in folded:
            self.parked += len(of_model.parked)
            if self.parked > MAX_PARKED:
                last = of_model.parked[-1].error
                raise RebuildError(f"more than {MAX_PARKED} events cannot be projected, the last: {last}")
        return folded

    async def _forget_next(self) -> None:
        """Ends the reading ahead."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
            self._next = None

    async def _read(self, position: int) -> list[PublishedEvent]:
        return await self._log.after(position, limit=CHUNK)

    async def _write(self, folded: Folded) -> None:
        projection = folded.projection
        for query, parameters, rows in statements(projection, (shadow.SCHEMA, projection.model), folded.changes):
            cursor = await self._connection.execute(query, parameters)
            if cursor.rowcount != rows:
                missing = rows - cursor.rowcount
                raise RebuildError(f"the log has a gap: earlier events of {missing} aggregates are missing")
        if folded.parked:
            await notes.park(self._connection, projection, folded.parked)

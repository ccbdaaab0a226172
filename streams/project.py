"""Applies batches of messages to one read model.

A batch is one look at what the read model has, one change a row, one transaction. What is missing (between two events
of a partition, or of an aggregate) is read from the store's log, and nothing is ever applied out of order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from eventsourcing.persistence import MapperDeserialisationError
from psycopg_pool import AsyncConnectionPool

from adapters.event_log import EventLog
from domain.published import PublishedEvent
from projections.projection import Change, Projection, SequenceGap, fold_some
from projections.writer import Known, Writer
from streams.delivery import Delivery, read_entry
from streams.log_reader import LogReader
from streams.parking import FOLLOWS, ParkingLot

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0
"""Between tries while the database is away. There is no last try: the stream waits, and Kafka with it."""

LOG_CHUNK = 1_000
"""Events read at a time where some are missing."""

TRIES = 3
"""For a row that the database refuses, before its events are parked."""

log = logging.getLogger(__name__)

Run = list[Delivery]
"""One aggregate's events of a batch, in the order they came."""


@dataclass(slots=True)
class _Batch:
    """What is to be written."""

    lot: ParkingLot
    changes: list[Change] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    """For each change the events it was made of."""


class Projector:
    """One read model's end of its topic."""

    def __init__(self, projection: Projection, pool: AsyncConnectionPool) -> None:
        self.projection = projection
        self._writer = Writer(pool, projection)
        self._log = EventLog(pool)
        self._reader = LogReader(pool)

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Applies or parks all of them; with the database away, waits for it as long as it takes."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self.apply(deliveries)
            except psycopg.Error as error:
                log.warning("%s waits for the database (%s)", self.projection.model, type(error).__name__)
            else:
                return
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    async def apply(self, deliveries: Sequence[Delivery]) -> None:
        """Applies or parks all of them, in one transaction.

        Raises:
            psycopg.Error: the database is away, or refuses for a reason that is not these events'.
        """
        runs = _runs(deliveries)
        positions = _positions(deliveries)
        known = await self._look(runs, positions)
        if await self._fill_partitions(deliveries, known.positions):
            known = await self._look(runs, positions)
        batch = _Batch(ParkingLot(known.parked))
        for aggregate_id, run in runs.items():
            await self._fold_run(batch, aggregate_id, run, known.versions)
        await self._write(batch, positions)

    async def _look(self, runs: Iterable[UUID | None], partitions: Collection[int]) -> Known:
        return await self._writer.look([aggregate_id for aggregate_id in runs if aggregate_id is not None], partitions)

    # One aggregate ------------------------------------------------------------------------------------------------

    async def _fold_run(self, batch: _Batch, aggregate_id: UUID | None, run: Run, versions: dict[UUID, int]) -> None:
        base = 0 if aggregate_id is None else versions.get(aggregate_id, 0)
        run = [delivery for delivery in run if delivery.sequence is None or delivery.sequence > base]
        if aggregate_id is None or batch.lot.is_stuck(aggregate_id):
            batch.lot.park(run, FOLLOWS)
            return
        events: list[PublishedEvent] = []
        for delivery in run:
            if delivery.event is None:
                break
            events.append(delivery.event)
        change, error = fold_some(self.projection, base, events)
        if isinstance(error, SequenceGap):
            change, error = await self._fold_log(aggregate_id, base, max(event.sequence for event in events))
        reached = base if change is None else change.version
        done = next((at for at, event in enumerate(events) if event.sequence > reached), len(events))
        if done < len(run):
            batch.lot.park(run[done:], "" if error is None else _said(error))
        if change is not None:
            batch.changes.append(change)
            batch.runs.append(run[:done])

    async def _fold_log(self, aggregate_id: UUID, base: int, wanted: int) -> tuple[Change | None, Exception | None]:
        """The change up to version `wanted`, or beyond, from the store's log, where there is no gap."""
        log.warning("%s: %s misses events after %d", self.projection.model, aggregate_id, base)
        change: Change | None = None
        reached = base
        while reached < wanted:
            try:
                history = await self._log.history(aggregate_id, after_version=reached, limit=LOG_CHUNK)
            except MapperDeserialisationError as error:
                return change, error
            more, trouble = fold_some(self.projection, reached, history)
            if more is None:
                return change, trouble or SequenceGap(f"the log has no event {reached + 1} of {aggregate_id}")
            if change is None:
                change = more
            else:
                change.extend(more)
            reached = change.version
            if trouble is not None:
                return change, trouble
        return change, None

    # What is missing in a partition -------------------------------------------------------------------------------

    async def _fill_partitions(self, deliveries: Sequence[Delivery], positions: dict[int, int]) -> bool:
        """Applies from the log what a partition should have brought before these messages; whether there was any."""
        filled = False
        reached = dict(positions)
        for delivery in deliveries:
            partition, position = delivery.partition, delivery.position
            if partition is None or position is None or position <= reached.get(partition, 0):
                continue
            since = reached.get(partition, 0)
            if delivery.previous > since:
                topic = self.projection.topic
                log.warning("%s/%d misses events after position %d: read from the log", topic, partition, since)
                await self._apply_log(since, delivery.previous)
                await self._writer.write([], [], {partition: delivery.previous})
                filled = True
            reached[partition] = position
        return filled

    async def _apply_log(self, since: int, until: int) -> None:
        """Applies a stretch of the log; what was applied before is dropped."""
        while since < until:
            entries = [entry for entry in await self._reader.after(since, limit=LOG_CHUNK) if entry.position <= until]
            if not entries:
                return
            since = entries[-1].position
            await self.apply([read_entry(entry) for entry in entries if entry.topic == self.projection.topic])

    # Writing ------------------------------------------------------------------------------------------------------

    async def _write(self, batch: _Batch, positions: dict[int, int]) -> None:
        try:
            await self._writer.write(batch.changes, batch.lot.parked, positions)
        except (psycopg.DataError, psycopg.IntegrityError):
            for change, run in zip(batch.changes, batch.runs, strict=True):
                await self._write_alone(batch.lot, change, run)
            await self._writer.write([], batch.lot.parked, positions)
        self._tell(batch.lot)

    def _tell(self, lot: ParkingLot) -> None:
        """Says why events are parked; one line a batch, however many they are."""
        causes = [parked for parked in lot.parked if parked.error != FOLLOWS]
        if causes:
            first, more = causes[0], len(lot.parked) - 1
            where = f"{self.projection.model} {first.aggregate_id}/{first.sequence}"
            log.warning("%s is parked, and %d more events: %s", where, more, first.error)

    async def _write_alone(self, lot: ParkingLot, change: Change, run: Run) -> None:
        """Writes one row on its own, so that one that is refused does not stop the others."""
        for left in reversed(range(TRIES)):
            try:
                await self._writer.write([change], [], {})
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                if not left:
                    lot.park(run, _said(error))
            else:
                return


def _runs(deliveries: Sequence[Delivery]) -> dict[UUID | None, Run]:
    runs: dict[UUID | None, Run] = {}
    for delivery in deliveries:
        runs.setdefault(delivery.aggregate_id, []).append(delivery)
    return runs


def _positions(deliveries: Sequence[Delivery]) -> dict[int, int]:
    """By partition, how far they reach; one that the relay did not send reaches nowhere."""
    positions: dict[int, int] = {}
    for delivery in deliveries:
        partition, position = delivery.partition, delivery.position
        if partition is not None and position is not None and position > positions.get(partition, 0):
            positions[partition] = position
    return positions


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

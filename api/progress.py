"""How far the relay and the read models are behind the log, and what is parked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from eventsourcing.persistence import MapperDeserialisationError
from psycopg_pool import AsyncConnectionPool

from adapters.event_log import EventLog
from projections.models import MODELS
from projections.parked import count_parked
from projections.positions import REBUILT, Progress, read_progress
from projections.rows import Position


@dataclass(frozen=True, slots=True)
class Lag:
    """How far one reader of the log is behind its end."""

    name: str
    """`relay`, or a read model's."""
    position: int
    events: int
    """Not more than so many: positions have gaps."""
    seconds: float
    """The age of the oldest event it has not seen; 0 when it has seen all."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far one read model is behind what is published in one partition."""

    model: str
    partition: int
    position: int
    """0: nothing of this partition was applied yet."""
    age_seconds: float | None
    """Since it was written; None: never. An old one is no lag: nothing may have come since."""
    events: int
    """Not more than so many: positions have gaps, and other partitions have their share."""
    seconds: float
    """Not more than so many: the age of the first event in the log behind it, of whatever partition."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything about relay and read models, of about one moment."""

    log_end: int
    relay_trouble: str | None
    """Why the relay publishes nothing until somebody has looked."""
    readers: list[Lag]
    """The relay, then every read model."""
    checkpoints: list[Checkpoint]
    """Of every partition that has had an event, by read model."""
    parked: dict[str, int]
    """By read model."""


async def read_standing(pool: AsyncConnectionPool, log: EventLog) -> Standing:
    """Where everything stands. Raises `psycopg.OperationalError`."""
    end = await log.end()
    progress = await read_progress(pool)
    clock = _Clock(log)
    positions = [progress.relay, *(progress.model(model) for model in MODELS)]
    readers = [await _lag(position, end, clock) for position in positions]
    checkpoints = [
        await _checkpoint(progress, model, partition, clock)
        for model in MODELS
        for partition in _partitions(progress, model)
    ]
    return Standing(end, progress.relay.trouble, readers, checkpoints, await count_parked(pool))


class _Clock:
    """Tells how old the first event behind a position is; asks the log once for each."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._now = datetime.now(UTC)
        self._known: dict[int, datetime | None] = {}

    def since(self, moment: datetime) -> float:
        """Seconds, not below 0: the database's clock may be ahead of ours."""
        return round(max(0.0, (self._now - moment).total_seconds()), 3)

    async def behind(self, position: int, otherwise: datetime | None) -> float:
        """The age of the first event behind a position; of `otherwise` where that event cannot be read."""
        if position not in self._known:
            self._known[position] = await self._time(position)
        moment = self._known[position] or otherwise
        return 0.0 if moment is None else self.since(moment)

    async def _time(self, position: int) -> datetime | None:
        try:
            unseen = await self._log.after(position, limit=1)
        except MapperDeserialisationError:
            return None
        return unseen[0].time if unseen else self._now  # published, and not in the log: the store was set back


async def _lag(position: Position, end: int, clock: _Clock) -> Lag:
    if position.position >= end:
        return Lag(position.name, position.position, 0, 0.0)
    seconds = await clock.behind(position.position, position.updated_at)
    return Lag(position.name, position.position, end - position.position, seconds)


def _partitions(progress: Progress, model: str) -> list[int]:
    """Where something was published or applied."""
    topic = MODELS[model].topic
    published = {number for (name, number), last in progress.published.items() if name == topic and last}
    applied = {number for name, _, number in progress.applied if name == model and number >= 0}
    return sorted(published | applied)


async def _checkpoint(progress: Progress, model: str, partition: int, clock: _Clock) -> Checkpoint:
    topic = MODELS[model].topic
    places = ((model, topic, partition), (model, topic, REBUILT))
    reached, written_at = max((progress.applied[at] for at in places if at in progress.applied), default=(0, None))
    events = max(0, progress.published.get((topic, partition), 0) - reached)
    seconds = await clock.behind(reached, written_at) if events else 0.0
    age_seconds = None if written_at is None else clock.since(written_at)
    return Checkpoint(model, partition, reached, age_seconds, events, seconds)

"""How far the relay and the read models are.

A partition that had no event for long has an old checkpoint and is not behind. What tells is the relay's note of the
last event it put there: a read model is behind only where its checkpoint is smaller than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg_pool import AsyncConnectionPool

from projections.models import MODELS
from projections.rows import Position

REBUILT = -1
"""In place of a partition: up to this checkpoint the read model was made from the log, whatever came by partitions."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What relay and read models have written down, read in one snapshot."""

    relay: Position
    published: dict[tuple[str, int], int]
    """By topic and partition, the position of the last event published there."""
    applied: dict[tuple[str, str, int], tuple[int, datetime]]
    """By model, topic and partition, the checkpoint and its time."""

    def behind(self, model: str) -> dict[int, int]:
        """By partition with published events that are not applied: the checkpoint, 0 without one."""
        topic = MODELS[model].topic
        return {
            partition: reached
            for (published_topic, partition), last in self.published.items()
            if published_topic == topic and (reached := self.reached(model, topic, partition)) < last
        }

    def model(self, model: str) -> Position:
        """How far one read model is: everything up to there is applied."""
        checkpoints = [at for (name, *_), at in self.applied.items() if name == model]
        behind = self.behind(model)
        # While the relay publishes the log again, what was applied before stays applied.
        applied = max([self.relay.position, *(position for position, _ in checkpoints)])
        updated_at = max((time for _, time in checkpoints), default=self.relay.updated_at)
        return Position(model, min(behind.values()) if behind else applied, updated_at)

    def reached(self, model: str, topic: str, partition: int) -> int:
        """How far one read model is in one partition, 0 without a checkpoint."""
        places = ((model, topic, partition), (model, topic, REBUILT))
        return max(self.applied[place][0] if place in self.applied else 0 for place in places)


PROGRESS_QUERY = (
    "SELECT r.position, r.updated_at, r.trouble, r.partitions, c.model, c.topic, c.partition, c.position, c.updated_at"
    " FROM relay_state AS r LEFT JOIN checkpoints AS c ON true"
)
"""One statement, so that relay and checkpoints are of one moment."""


def progress_of(rows: Sequence[tuple[Any, ...]]) -> Progress:
    """What the rows of `PROGRESS_QUERY` say."""
    position, updated_at, trouble, partitions = rows[0][:4]
    published = {
        (topic, partition): last
        for topic, states in partitions.items()
        for partition, (_end, last) in enumerate(states)
    }
    applied = {(model, topic, partition): (at, time) for *_, model, topic, partition, at, time in rows if model}
    return Progress(Position("relay", position, updated_at, trouble), published, applied)


async def read_progress(pool: AsyncConnectionPool) -> Progress:
    """The present state.

    Raises:
        psycopg.OperationalError (also as psycopg_pool.PoolTimeout).
    """
    async with pool.connection() as connection:
        return progress_of(await (await connection.execute(PROGRESS_QUERY, binary=True)).fetchall())

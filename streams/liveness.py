"""Notices a worker that does nothing although there is something to do: consumers are known to hang after a rebalance.

What there is to do is what the relay published and no checkpoint has reached. A worker whose share of that does not
move gives itself up, and whoever runs it starts another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

import psycopg
from psycopg_pool import AsyncConnectionPool

from projections.models import MODELS
from projections.positions import Progress, read_progress
from streams.relay_state import Partition

INTERVAL_SECONDS = 2.0

STALL_SECONDS = 30.0
"""Longer than a rebalance and than any batch; shorter than anybody wants to wait."""

log = logging.getLogger(__name__)

Place = tuple[str, int]
"""Model and partition."""


class Liveness:
    """The timer that watches this worker's checkpoints."""

    def __init__(self, pool: AsyncConnectionPool, assignment: Callable[[], set[Partition]]) -> None:
        """`assignment`: the partitions this worker has now; empty while it has none."""
        self._pool = pool
        self._assignment = assignment
        self._waiting: dict[Place, tuple[int, float]] = {}
        self.stalled = False
        """Whether to give up."""

    async def tick(self) -> None:
        """Looks once."""
        try:
            progress = await read_progress(self._pool)
        except psycopg.Error:
            self._waiting.clear()  # with the database away, standing still is right
        else:
            self._judge(progress, monotonic())

    def _judge(self, progress: Progress, now: float) -> None:
        mine = self._assignment()
        waiting: dict[Place, tuple[int, float]] = {}
        for model, projection in MODELS.items():
            for partition, reached in progress.behind(model).items():
                if mine and (projection.topic, partition) not in mine:
                    continue
                before = self._waiting.get((model, partition))
                waiting[model, partition] = before if before is not None and before[0] == reached else (reached, now)
        self._waiting = waiting
        for (model, partition), (reached, since) in waiting.items():
            if now - since > STALL_SECONDS:
                seconds = now - since
                log.error("%s stands at position %d in partition %d for %.0f s", model, reached, partition, seconds)
                self.stalled = True

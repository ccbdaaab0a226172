"""How fast the relay may go on the built-in broker.

It keeps the newest 5 MiB of a partition (measured: 4.6 to 5.2 MB of values, however large they are) and drops older
records unread. So the relay stays within a bound of what the read models have applied, by their checkpoints. And since
it keeps nothing when it ends, every start would publish the whole log again for nobody: only as much as fits is sent.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable

from psycopg_pool import AsyncConnectionPool

from adapters.event_messages import Message
from projections.models import MODELS
from projections.positions import read_progress
from streams.relay_state import Partition, PartitionState, RelayState
from streams.topics import Cluster

MAX_AHEAD_BYTES = 2 * 1024 * 1024
"""Of one partition, published and not applied."""

MAX_BATCH = 200
"""Events sent at once: with the largest there are (20 kB) a batch over the bound still fits what is kept."""

LOOK_SECONDS = 0.02

KEPT_EVENTS = 50_000
"""About as many as fit into three topics of four partitions at a thousand bytes each."""


class _Ahead:
    """What one partition has that is not known to be applied."""

    def __init__(self) -> None:
        self.sent: deque[tuple[int, int]] = deque()
        """Last position and bytes of each batch."""
        self.bytes = 0

    def note(self, last: int, size: int) -> None:
        self.sent.append((last, size))
        self.bytes += size

    def forget(self, reached: int) -> None:
        """What is at or below `reached` is applied."""
        while self.sent and self.sent[0][0] <= reached:
            self.bytes -= self.sent.popleft()[1]


class BuiltinPace:
    """Holds the relay back until the read models have followed."""

    batch = MAX_BATCH

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self._ahead: defaultdict[Partition, _Ahead] = defaultdict(_Ahead)

    async def admit(self, messages: list[Message], partition_of: Callable[[Message], Partition]) -> None:
        """Returns when these may be sent; waits while their partitions are full.

        Raises:
            psycopg.OperationalError: the database is away.
        """
        wanted = {partition_of(message) for message in messages}
        while any(self._ahead[partition].bytes > MAX_AHEAD_BYTES for partition in wanted):
            await self._look()
            await asyncio.sleep(LOOK_SECONDS)

    def note(self, sizes: dict[Partition, int], state: RelayState) -> None:
        """Takes down what was sent."""
        for partition, size in sizes.items():
            self._ahead[partition].note(state.of(partition).last, size)

    async def _look(self) -> None:
        progress = await read_progress(self._pool)
        for (topic, number), ahead in self._ahead.items():
            ahead.forget(
                min(
                    progress.reached(model, topic, number)
                    for model, projection in MODELS.items()
                    if projection.topic == topic
                )
            )


async def begin_builtin(pool: AsyncConnectionPool, left: RelayState, cluster: Cluster) -> RelayState:
    """Where to begin on an empty built-in broker: so that it gets what it can keep, and whatever is not applied.

    Args:
        left: how the broker before it was left.

    Raises:
        psycopg.OperationalError: the database is away.
    """
    position = await _first_position_to_keep(pool)
    same_shape = all(
        sum(topic == known for known, _ in left.partitions) == count for topic, count in cluster.partitions.items()
    )
    state = RelayState(position, cluster=cluster.id)
    for topic, count in cluster.partitions.items():
        for number in range(count):
            # With other partitions than before it is not known what came before in each: up to `position`, anything.
            last = left.of((topic, number)).last if same_shape else position
            state.partitions[topic, number] = PartitionState(last=min(position, last))
    return state


async def _first_position_to_keep(pool: AsyncConnectionPool) -> int:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT notification_id FROM stored_events ORDER BY notification_id DESC OFFSET %s LIMIT 1", (KEPT_EVENTS,)
        )
        row = await cursor.fetchone()
    if row is None:
        return 0
    progress = await read_progress(pool)
    return min(int(row[0]), *(progress.model(model).position for model in MODELS))

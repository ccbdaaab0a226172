"""What the relay writes down: how far the log is published, and where that left each partition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from psycopg import AsyncConnection

Partition = tuple[str, int]
"""Topic and number."""


@dataclass(slots=True)
class PartitionState:
    """Where one partition was left."""

    end: int = 0
    """The offset the next event gets, as far as known."""
    last: int = 0
    """The position of the last event put there; 0: none."""


@dataclass(slots=True)
class RelayState:
    """The row of `relay_state`."""

    position: int = 0
    """In the store's log: everything up to here was published and acknowledged."""
    partitions: dict[Partition, PartitionState] = field(default_factory=dict)
    cluster: str | None = None
    """The id of the Kafka cluster this is about; None before the first event."""
    trouble: str | None = None

    def of(self, partition: Partition) -> PartitionState:
        """The state of one partition, which may be new."""
        return self.partitions.setdefault(partition, PartitionState())


async def load_state(connection: AsyncConnection[Any]) -> RelayState:
    """What was written down last."""
    cursor = await connection.execute("SELECT position, partitions, cluster, trouble FROM relay_state")
    row = await cursor.fetchone()
    assert row is not None, "the migration makes the row"
    position, topics, cluster, trouble = row
    partitions = {
        (topic, number): PartitionState(end, last)
        for topic, states in topics.items()
        for number, (end, last) in enumerate(states)
    }
    return RelayState(position, partitions, cluster, trouble)


async def save_state(connection: AsyncConnection[Any], state: RelayState) -> None:
    """Writes it down. On the connection that holds the relay's lock, so that only the one relay can."""
    topics: dict[str, list[tuple[int, int]]] = {}
    for topic, number in sorted(state.partitions):
        states = topics.setdefault(topic, [])
        states += [(0, 0)] * (number - len(states))
        partition = state.partitions[topic, number]
        states.append((partition.end, partition.last))
    await connection.execute(
        "UPDATE relay_state SET position = %s, partitions = %s::jsonb, cluster = %s, trouble = %s,"
        " updated_at = clock_timestamp()",
        (state.position, msgspec.json.encode(topics).decode(), state.cluster, state.trouble),
    )

"""Writes a read model as the events come: rows, parked events and checkpoints in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from psycopg_pool import AsyncConnectionPool

from projections.positions import REBUILT
from projections.projection import Change, Projection
from projections.statements import statements

_VERSIONS = SQL("SELECT id, version FROM {} WHERE id = ANY(%b::uuid[])")
_PARKED_AGGREGATES = (
    "SELECT DISTINCT aggregate_id FROM parked_events WHERE model = %b AND aggregate_id = ANY(%b::uuid[])"
)
_POSITIONS = (
    "SELECT partition, position FROM checkpoints WHERE model = %b AND topic = %b AND partition = ANY(%b::integer[])"
)
_PARK = (
    "INSERT INTO parked_events (model, topic, partition, kafka_offset, aggregate_id, sequence, position, raw, error)"
    " SELECT * FROM unnest(%b::text[], %b::text[], %b::integer[], %b::bigint[], %b::uuid[], %b::bigint[], %b::bigint[],"
    " %b::bytea[], %b::text[]) ON CONFLICT DO NOTHING"
)
_CHECKPOINT = (
    "INSERT INTO checkpoints (model, topic, partition, position)"
    " SELECT %b, %b, * FROM unnest(%b::integer[], %b::bigint[]) AS c (partition, position) ORDER BY partition"
    " ON CONFLICT (model, topic, partition) DO UPDATE"
    " SET position = GREATEST(checkpoints.position, EXCLUDED.position), updated_at = clock_timestamp()"
)


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that is kept aside, see the table `parked_events`."""

    partition: int | None
    kafka_offset: int | None
    aggregate_id: UUID | None
    sequence: int | None
    position: int | None
    raw: bytes
    error: str


@dataclass(frozen=True, slots=True)
class Known:
    """What the read model says before a batch is applied."""

    versions: dict[UUID, int]
    """Of the rows there are."""
    parked: set[UUID]
    """Aggregates of which an event is parked: what follows is parked too."""
    positions: dict[int, int]
    """How far each of the partitions is applied, 0 for nothing."""


class Writer:
    """Reads and writes one read model. Every method may raise `psycopg.Error` (also `psycopg_pool.PoolTimeout`)."""

    def __init__(self, pool: AsyncConnectionPool, projection: Projection) -> None:
        self._pool = pool
        self._projection = projection
        self._table = (projection.model,)
        self._versions = _VERSIONS.format(Identifier(projection.model)).as_bytes()

    async def look(self, ids: Collection[UUID], partitions: Collection[int]) -> Known:
        """What is known of these aggregates and partitions; one round trip."""
        model, topic = self._projection.model, self._projection.topic
        async with self._pool.connection() as connection, connection.pipeline():
            versions = await connection.execute(self._versions, (list(ids),), binary=True)
            parked = await connection.execute(_PARKED_AGGREGATES, (model, list(ids)), binary=True)
            positions = await connection.execute(_POSITIONS, (model, topic, [REBUILT, *partitions]), binary=True)
            reached: dict[int, int] = dict(await positions.fetchall())
            return Known(
                dict(await versions.fetchall()),
                {row[0] for row in await parked.fetchall()},
                {number: max(reached.get(number, 0), reached.get(REBUILT, 0)) for number in partitions},
            )

    async def write(self, changes: Sequence[Change], parked: Sequence[Parked], positions: Mapping[int, int]) -> None:
        """Writes all of it or nothing, in one transaction and one round trip.

        The checkpoints go first: their rows are what two writers of one partition wait for each other at. The rows of
        the read model come in several statements, so that the two could hold what the other wants next.

        Args:
            positions: by partition, how far in the log everything of this topic is now applied or parked.
        """
        async with self._pool.connection() as connection, connection.pipeline(), connection.transaction():
            if positions:
                await checkpoint(connection, self._projection, positions)
            for query, parameters in statements(self._projection, self._table, changes):
                await connection.execute(query, parameters)
            if parked:
                await park(connection, self._projection, parked)


async def checkpoint(connection: AsyncConnection[Any], projection: Projection, positions: Mapping[int, int]) -> None:
    """Takes down how far each partition is applied, inside the caller's transaction; never sets one back."""
    row = (projection.model, projection.topic, list(positions), list(positions.values()))
    await connection.execute(_CHECKPOINT, row)


async def park(connection: AsyncConnection[Any], projection: Projection, events: Sequence[Parked]) -> None:
    """Keeps events aside, inside the caller's transaction; what is parked already stays as it is."""
    columns: list[list[Any]] = [
        [projection.model] * len(events),
        [projection.topic] * len(events),
        [event.partition for event in events],
        [event.kafka_offset for event in events],
        [event.aggregate_id for event in events],
        [event.sequence for event in events],
        [event.position for event in events],
        [event.raw for event in events],
        [event.error for event in events],
    ]
    await connection.execute(_PARK, columns)

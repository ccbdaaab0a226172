"""Writes a read model as the events come: rows, parked events and checkpoints in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier, Literal
from psycopg_pool import AsyncConnectionPool

from projections.arrays import array
from projections.positions import REBUILT
from projections.projection import Change, Projection
from projections.statements import Statement, statements

_LOOK = SQL(
    "SELECT id, version, NULL, NULL FROM {table} WHERE id = ANY(%(ids)b::uuid[])"
    " UNION ALL SELECT DISTINCT aggregate_id, NULL::bigint, NULL::integer, NULL::bigint FROM parked_events"
    " WHERE model = {model} AND aggregate_id = ANY(%(ids)b::uuid[])"
    " UNION ALL SELECT NULL, NULL, partition, position FROM checkpoints"
    " WHERE model = {model} AND topic = {topic} AND partition = ANY(%(partitions)b::integer[])"
)
_PARK = (
    b"INSERT INTO parked_events (model, topic, partition, kafka_offset, aggregate_id, sequence, position, raw, error)"
    b" SELECT * FROM unnest(%b::text[], %b::text[], %b::integer[], %b::bigint[], %b::uuid[], %b::bigint[],"
    b" %b::bigint[], %b::bytea[], %b::text[]) ON CONFLICT DO NOTHING"
)
_CHECKPOINT = SQL(
    "INSERT INTO checkpoints (model, topic, partition, position)"
    " SELECT {model}, {topic}, * FROM unnest(%b::integer[], %b::bigint[]) AS c (partition, position) ORDER BY partition"
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
        self._look_query = _LOOK.format(
            table=Identifier(projection.model), model=Literal(projection.model), topic=Literal(projection.topic)
        ).as_bytes()

    async def look(self, ids: Collection[UUID], partitions: Collection[int]) -> Known:
        """What is known of these aggregates and partitions; one statement."""
        wanted = {"ids": array("uuid", list(ids)), "partitions": array("integer", [REBUILT, *partitions])}
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(self._look_query, wanted, binary=True)).fetchall()
        versions: dict[UUID, int] = {}
        parked: set[UUID] = set()
        reached: dict[int, int] = {}
        for aggregate_id, version, partition, position in rows:
            if version is not None:
                versions[aggregate_id] = version
            elif partition is None:
                parked.add(aggregate_id)
            else:
                reached[partition] = position
        rebuilt = reached.get(REBUILT, 0)
        return Known(versions, parked, {number: max(reached.get(number, 0), rebuilt) for number in partitions})

    async def write(self, changes: Sequence[Change], parked: Sequence[Parked], positions: Mapping[int, int]) -> None:
        """Writes all of it or nothing, in one transaction and one round trip.

        The checkpoints go first: their rows are what two writers of one partition wait for each other at. The rows of
        the read model come in several statements, so that the two could hold what the other wants next.

        There is no `BEGIN`: a statement by itself is a transaction, and so are those of a pipeline up to its `sync`.
        Nothing is left open when one of them fails.

        Args:
            positions: by partition, how far in the log everything of this topic is now applied or parked.
        """
        first = _checkpoint(self._projection, positions) if positions else None
        todo = [*statements(self._projection, self._table, changes, first=first)]
        if parked:
            todo.append(_park(self._projection, parked))
        if not todo:
            return
        async with self._pool.connection() as connection:
            if len(todo) == 1:
                await connection.execute(todo[0].query, todo[0].parameters)
                return
            async with connection.pipeline() as pipeline:
                for query, parameters, _ in todo:
                    await connection.execute(query, parameters)
                await pipeline.sync()


async def checkpoint(connection: AsyncConnection[Any], projection: Projection, positions: Mapping[int, int]) -> None:
    """Takes down how far each partition is applied, inside the caller's transaction; never sets one back."""
    query, parameters, _ = _checkpoint(projection, positions)
    await connection.execute(query, parameters)


def _checkpoint(projection: Projection, positions: Mapping[int, int]) -> Statement:
    query = _checkpoint_query(projection.model, projection.topic)
    return Statement(query, (array("integer", [*positions]), array("bigint", [*positions.values()])), len(positions))


@cache
def _checkpoint_query(model: str, topic: str) -> bytes:
    return _CHECKPOINT.format(model=Literal(model), topic=Literal(topic)).as_bytes()


def _park(projection: Projection, events: Sequence[Parked]) -> Statement:
    """What keeps events aside; what is parked already stays as it is."""
    columns = (
        ("text", [projection.model] * len(events)),
        ("text", [projection.topic] * len(events)),
        ("integer", [event.partition for event in events]),
        ("bigint", [event.kafka_offset for event in events]),
        ("uuid", [event.aggregate_id for event in events]),
        ("bigint", [event.sequence for event in events]),
        ("bigint", [event.position for event in events]),
        ("bytea", [event.raw for event in events]),
        ("text", [event.error for event in events]),
    )
    return Statement(_PARK, [array(kind, values) for kind, values in columns], len(events))

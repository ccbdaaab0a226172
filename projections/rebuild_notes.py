"""How far an unfinished rebuild is, beside its shadow tables: what an interrupted one goes on from.

A note is written in the transaction of the rows it speaks of. Whatever is lost in a crash (a rebuild does not wait for
the disk), both are lost together. The tables are made for the first note and go with the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from projections.projection import Projection
from projections.writer import Parked

PROGRAM = ("domain", "projections")
"""The packages that decide what an event makes of a row."""

_MAKE_REACHED = (
    "CREATE TABLE IF NOT EXISTS rebuild.reached"
    " (model text PRIMARY KEY, position bigint NOT NULL, events bigint NOT NULL, fingerprint text NOT NULL)"
)
_MAKE_PARKED = (  # as the table `parked_events`, where they go with the swap
    "CREATE TABLE IF NOT EXISTS rebuild.parked_events (model text NOT NULL, topic text NOT NULL,"
    " aggregate_id uuid NOT NULL, sequence bigint NOT NULL, position bigint NOT NULL, raw bytea NOT NULL,"
    " error text NOT NULL)"
)
_EXISTS = "SELECT to_regclass('rebuild.reached') IS NOT NULL"
_FIND = (
    "SELECT model, position, events, fingerprint FROM rebuild.reached"
    " WHERE model = ANY(%s) AND to_regclass(format('rebuild.%%I', model)) IS NOT NULL"
)
_STUCK = "SELECT model, aggregate_id, count(*) FROM rebuild.parked_events WHERE model = ANY(%s) GROUP BY 1, 2"
_BEGIN = "INSERT INTO rebuild.reached SELECT model, 0, 0, print FROM unnest(%s::text[], %s::text[]) AS n (model, print)"
_REACH = "UPDATE rebuild.reached SET position = %b, events = %b WHERE model = ANY(%b::text[])"
_PARK = (
    "INSERT INTO rebuild.parked_events SELECT %b, %b, *"
    " FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bytea[], %b::text[])"
)
_HAND_OVER = (
    "INSERT INTO parked_events (model, topic, aggregate_id, sequence, position, raw, error)"
    " SELECT model, topic, aggregate_id, sequence, position, raw, error FROM rebuild.parked_events"
    " WHERE model = ANY(%s) ORDER BY position ON CONFLICT DO NOTHING"
)
_FORGET = (
    "DELETE FROM rebuild.reached WHERE model = ANY(%s)",
    "DELETE FROM rebuild.parked_events WHERE model = ANY(%s)",
)

_TABLE = """
SELECT concat_ws(' ', attname, format_type(atttypid, atttypmod), attcollation, attnotnull, attgenerated,
    pg_get_expr(adbin, adrelid))
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = to_regclass(%(table)s)
UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass(%(table)s)
UNION ALL SELECT concat_ws(' ', reloptions, relacl) FROM pg_class WHERE oid = to_regclass(%(table)s)
ORDER BY 1
"""


class Outdated(Exception):
    """There is an unfinished rebuild that cannot be gone on with. The text says why."""


@dataclass(frozen=True, slots=True)
class Note:
    """What an unfinished rebuild has done."""

    position: int
    """Everything up to there is in the shadows, or parked."""
    events: int
    """Folded, of all topics."""
    parked: int
    """Events."""
    stuck: frozenset[tuple[str, UUID]]
    """Model and id of the aggregates that have a parked event."""


async def fingerprint(connection: AsyncConnection[Any], projection: Projection) -> str:
    """What a shadow depends on besides the log: the program, the projection, and the live tables' definitions."""
    rows = [
        row
        for table in projection.tables
        for row in await (await connection.execute(_TABLE, {"table": table})).fetchall()
    ]
    made_by = f"{projection.project.__module__}.{projection.project.__qualname__}"
    lines = [] if projection.lines is None else list(projection.lines.columns.items())
    parts = [program(), made_by, projection.topic, list(projection.columns.items()), lines, rows]
    return sha256(msgspec.json.encode(parts)).hexdigest()


@cache
def program() -> str:
    """Another text for every other version of `PROGRAM`, released or not."""
    digest = sha256()
    for package in PROGRAM:
        for file in sorted(files(package).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".py"):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


async def find(connection: AsyncConnection[Any], fingerprints: Mapping[str, str], end: int) -> Note | None:
    """The unfinished rebuild of these models; None if there is none.

    Args:
        fingerprints: by model, as they are now.
        end: position of the log's last event.

    Raises:
        Outdated: see there.
    """
    if not await _exist(connection):
        return None
    models = list(fingerprints)
    notes = await (await connection.execute(_FIND, (models,))).fetchall()
    if not notes:
        return None
    if {model: found for model, *_, found in notes} != fingerprints:
        if len(notes) < len(models):
            raise Outdated("not all of these read models have an unfinished rebuild")
        raise Outdated("the program or the table is another one since")
    if len({(position, events) for _, position, events, _ in notes}) > 1:
        raise Outdated("these read models were not built together")
    _, position, events, _ = notes[0]
    if position > end:
        raise Outdated(f"it had read up to position {position:,}, and the log ends at {end:,}")
    stuck = await (await connection.execute(_STUCK, (models,))).fetchall()
    return Note(position, events, sum(row[2] for row in stuck), frozenset((model, key) for model, key, _ in stuck))


async def begin(connection: AsyncConnection[Any], fingerprints: Mapping[str, str]) -> None:
    """Notes that these models' shadows are empty, in place of whatever was noted of them. Needs the schema."""
    for statement in (_MAKE_REACHED, _MAKE_PARKED):
        await connection.execute(statement)
    await forget(connection, fingerprints)
    await connection.execute(_BEGIN, (list(fingerprints), list(fingerprints.values())))


async def reach(connection: AsyncConnection[Any], models: Sequence[str], position: int, events: int) -> None:
    """Notes how far the shadows are; to be called in the transaction of their rows."""
    await connection.execute(_REACH, (position, events, list(models)))


async def park(connection: AsyncConnection[Any], projection: Projection, events: Sequence[Parked]) -> None:
    """Notes events that cannot be projected; to be called in the transaction of the rows."""
    columns: list[list[Any]] = [
        [event.aggregate_id for event in events],
        [event.sequence for event in events],
        [event.position for event in events],
        [event.raw for event in events],
        [event.error for event in events],
    ]
    await connection.execute(_PARK, (projection.model, projection.topic, *columns))


async def hand_over(connection: AsyncConnection[Any], models: Sequence[str]) -> None:
    """Parks for good what was noted, inside the caller's transaction."""
    await connection.execute(_HAND_OVER, (list(models),))


async def forget(connection: AsyncConnection[Any], models: Iterable[str]) -> None:
    """Removes the notes of these models; the tables have to be there."""
    for statement in _FORGET:
        await connection.execute(statement, (list(models),))


async def tidy(connection: AsyncConnection[Any]) -> None:
    """Removes the tables if nothing is noted any more."""
    if await _exist(connection):
        row = await (await connection.execute("SELECT EXISTS (SELECT FROM rebuild.reached)")).fetchone()
        if row is not None and not row[0]:
            await connection.execute("DROP TABLE rebuild.reached, rebuild.parked_events")


async def left_at(connection: AsyncConnection[Any], models: Sequence[str]) -> int | None:
    """The position that a next rebuild of these models together would go on from, if nothing else changes."""
    if not await _exist(connection):
        return None
    rows = await (await connection.execute(_FIND, (list(models),))).fetchall()
    positions = {position for _, position, _, _ in rows}
    return positions.pop() if len(rows) == len(models) and len(positions) == 1 else None


async def _exist(connection: AsyncConnection[Any]) -> bool:
    row = await (await connection.execute(_EXISTS)).fetchone()
    return row is not None and bool(row[0])

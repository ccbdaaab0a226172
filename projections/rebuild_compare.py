"""What a rebuild changes: the new rows against the live ones at equal versions, before the one takes the other's place.

While readers and the worker go on, the live table is now behind the new one and now ahead of it. So two looks are
taken. The first, one statement without a lock, keeps every row that is not equal. Then the rebuild folds all that
was in the log after it, and the second look tells a real difference from a row that was only ahead: whatever a live
row may rightly show is in the new table by then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled
from psycopg.sql import SQL, Composed, Identifier, Literal
from psycopg_pool import AsyncConnectionPool

from projections.log import Log
from projections.positions import read_progress
from projections.projection import Projection
from projections.rebuild_compare_lines import LineComparison, compare_lines
from projections.shadow import SCHEMA

TIMEOUT_MS = 60_000
"""For each look at one model. A million rows take a few seconds; what takes so much longer is not worth waiting for."""

MAX_EXAMPLES = 10
"""Rows named for each model."""

MAX_LAG = 100_000
"""Positions a live table may be behind for its missing rows to be told from those it has not come to: two seconds of
reading. Further behind, none of them counts as a difference."""

PAGE = 10_000
"""Events read at a time."""

_OPEN = (
    "DROP TABLE IF EXISTS pg_temp.unequal",
    "CREATE TEMP TABLE unequal (model text, id uuid, live bigint, built bigint, columns text[])",
)
_LOOK = SQL(
    "WITH compared AS MATERIALIZED ("
    " SELECT id, l.version AS live, b.version AS built,"
    " CASE WHEN l.version IS DISTINCT FROM b.version THEN NULL WHEN {same} THEN '{{}}'"
    " ELSE array_remove(ARRAY[{differing}], NULL) END AS columns FROM {live} AS l FULL JOIN {shadow} AS b USING (id)"
    "), kept AS (INSERT INTO pg_temp.unequal SELECT {model}, id, live, built, columns FROM compared"
    " WHERE columns IS DISTINCT FROM '{{}}')"
    " SELECT count(*) FILTER (WHERE columns = '{{}}'), count(*) FILTER (WHERE live IS NULL) FROM compared"
)
_NOT_THERE_YET = "UPDATE pg_temp.unequal SET live = 0 WHERE model = %s AND live IS NULL"
_THOSE = " AND id = ANY(%s)"
_KINDS = SQL(
    "SELECT u.id, COALESCE(u.columns, '{{version}}') AS columns, CASE WHEN u.live IS NULL THEN 'new'"
    " WHEN b.id IS NULL THEN 'gone' WHEN u.live = u.built OR u.live > b.version THEN 'different' ELSE 'moving' END"
    " AS kind FROM pg_temp.unequal AS u LEFT JOIN {shadow} AS b ON b.id = u.id WHERE u.model = {model}"
)
_COUNTS = SQL("SELECT kind, count(*) FROM ({kinds}) AS k GROUP BY kind")
_EXAMPLES = SQL(
    "SELECT id, kind, columns FROM ({kinds}) AS k WHERE kind <> 'moving' ORDER BY kind, id LIMIT {limit}"
)  # `different` comes first by its name


@dataclass(frozen=True, slots=True)
class Example:
    """A row that differs."""

    id: UUID
    kind: str
    """`different`, `gone` or `new`."""
    columns: tuple[str, ...]
    """Of a different row: those that differ. `version`: the live row shows one that the log does not lead to."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One model's rows, counted."""

    model: str
    equal: int
    different: int
    new: int
    """Not in the live table, although it has come to them."""
    gone: int
    """In the live table, and not made by the log."""
    moving: int
    """Not compared: the live one has not come to them, or was quicker and shows a later version."""
    examples: tuple[Example, ...]
    """At most `MAX_EXAMPLES`."""
    lines: LineComparison | None = None
    """What is beside the rows."""

    @property
    def differences(self) -> int:
        """Rows that the swap changes though no event did."""
        return self.different + self.new + self.gone


@dataclass(frozen=True, slots=True)
class _Look:
    """What the first look found."""

    projection: Projection
    equal: int
    missing: int
    """Not in the live table."""


async def compare(
    pool: AsyncConnectionPool,
    connection: AsyncConnection[Any],
    log: Log,
    projections: Iterable[Projection],
    fold_all: Callable[[], Awaitable[int]],
) -> tuple[Comparison, ...]:
    """Compares the shadows with the live tables; a model that takes longer than `TIMEOUT_MS` is left out.

    Args:
        connection: that of the rebuild.
        fold_all: folds all that is in the log into the shadows, and returns its end (a position).
    """
    applied = await read_progress(pool)
    for statement in _OPEN:
        await connection.execute(statement)
    looks = [await _first_look(connection, projection) for projection in projections]
    end = await fold_all()
    compared = []
    for look in looks:
        if look is not None:
            await _excuse(connection, log, look, applied.model(look.projection.model).position, end)
            compared.append(await _second_look(connection, look))
    await connection.execute("DROP TABLE pg_temp.unequal")
    return tuple(comparison for comparison in compared if comparison is not None)


async def _excuse(connection: AsyncConnection[Any], log: Log, look: _Look, applied: int, end: int) -> None:
    """Finds the rows that the live table lacks only because it had not come to them: these are no differences.

    Args:
        applied: a position that the live table had come to before the first look.
        end: the position of the shadow.
    """
    model, topic = look.projection.model, look.projection.topic
    if end - applied > MAX_LAG:
        await connection.execute(_NOT_THERE_YET, (model,))
        return
    while look.missing and applied < end:
        events = await log.after(applied, limit=PAGE)
        created = [event.subject for event in events if event.topic == topic and event.sequence == 1]
        await connection.execute(_NOT_THERE_YET + _THOSE, (model, created))
        applied = events[-1].position if events else end


async def _first_look(connection: AsyncConnection[Any], projection: Projection) -> _Look | None:
    """Compares the tables as they are; None if that takes longer than `TIMEOUT_MS`."""
    row = None
    try:
        async with _bounded(connection):
            row = await (await connection.execute(_statement(projection))).fetchone()
    except QueryCanceled:
        return None
    assert row is not None, "counts are one row"
    return _Look(projection, *row)


async def _second_look(connection: AsyncConnection[Any], first: _Look) -> Comparison | None:
    """What is left once the shadow has come to the log's end after the first look; None if it takes too long."""
    model = first.projection.model
    kinds = _KINDS.format(shadow=Identifier(SCHEMA, model), model=Literal(model))
    try:
        async with _bounded(connection):
            counts = {
                kind: int(n) for kind, n in await (await connection.execute(_COUNTS.format(kinds=kinds))).fetchall()
            }
            examples = await connection.execute(_EXAMPLES.format(kinds=kinds, limit=MAX_EXAMPLES))
            found = tuple(
                Example(key, kind, tuple(columns) if kind == "different" else ())
                for key, kind, columns in await examples.fetchall()
            )
            lines = await compare_lines(connection, first.projection)
    except QueryCanceled:
        return None
    different, new, gone, moving = (counts.get(kind, 0) for kind in ("different", "new", "gone", "moving"))
    return Comparison(model, first.equal, different, new, gone, moving, found, lines)


def _statement(projection: Projection) -> Composed:
    live, built = ([_comparable(side, *column) for column in projection.columns.items()] for side in ("l", "b"))
    differing = [
        SQL("CASE WHEN {} IS DISTINCT FROM {} THEN {} END").format(one, other, Literal(name))
        for one, other, name in zip(live, built, projection.columns, strict=True)
    ]
    same = SQL("ROW({}) IS NOT DISTINCT FROM ROW({})").format(SQL(", ").join(live), SQL(", ").join(built))
    return _LOOK.format(
        same=same,
        differing=SQL(", ").join(differing),
        live=Identifier(projection.model),
        shadow=Identifier(SCHEMA, projection.model),
        model=Literal(projection.model),
    )


def _comparable(side: str, name: str, kind: str) -> Composed:
    # `json` has no equality; its text is kept as it came, and comes from the same encoder.
    return SQL("{}::text" if kind == "json" else "{}").format(Identifier(side, name))


@asynccontextmanager
async def _bounded(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    async with connection.transaction():
        await connection.execute(SQL("SET LOCAL statement_timeout = {}").format(TIMEOUT_MS))
        yield

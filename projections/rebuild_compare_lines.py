"""What a rebuild changes in the lines beside a read model: those of orders that both tables have come to.

Lines are written in the transaction of their row, and a row says by its version how far they go. So one look without a
lock is enough: up to the smaller of the two versions the lines of an aggregate have to be the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed, Identifier

from projections.projection import Projection
from projections.shadow import SCHEMA

MAX_EXAMPLES = 10
"""Aggregates named."""

_LOOK = SQL(
    "WITH compared AS (SELECT {key} AS id, CASE WHEN l.line IS NULL THEN 'new' WHEN b.line IS NULL THEN 'gone'"
    " WHEN ROW({live}) IS NOT DISTINCT FROM ROW({built}) THEN 'equal' ELSE 'different' END AS kind"
    " FROM {lines} AS l FULL JOIN {shadow_lines} AS b USING ({key}, sequence, line)"
    " LEFT JOIN {rows} AS r ON r.id = {key} LEFT JOIN {shadow_rows} AS s ON s.id = {key}"
    # Lines of what neither of them has are nobody's.
    " WHERE CASE WHEN r.id IS NULL AND s.id IS NULL THEN true ELSE sequence <= LEAST(r.version, s.version)"
    " AND r.id IS NOT NULL AND s.id IS NOT NULL END)"
    " SELECT id, {counts} FROM compared GROUP BY ROLLUP (id)"
    " HAVING GROUPING(id) = 1 OR count(*) FILTER (WHERE kind <> 'equal') > 0 ORDER BY id NULLS FIRST LIMIT {limit}"
)
_KINDS = ("equal", "different", "new", "gone")


@dataclass(frozen=True, slots=True)
class LineCounts:
    """Lines of one aggregate, or of all."""

    id: UUID | None
    """None: of all."""
    equal: int
    different: int
    new: int
    """Not in the live table."""
    gone: int
    """In the live table, and not made by the log."""

    @property
    def differences(self) -> int:
        """Lines that the swap changes."""
        return self.different + self.new + self.gone


@dataclass(frozen=True, slots=True)
class LineComparison:
    """One table's lines, counted."""

    table: str
    counts: LineCounts
    examples: tuple[LineCounts, ...]
    """Aggregates whose lines differ, at most `MAX_EXAMPLES`."""


async def compare_lines(connection: AsyncConnection[Any], projection: Projection) -> LineComparison | None:
    """Compares the shadow's lines with the live ones; None if the read model has none. The caller bounds the time."""
    if projection.lines is None:
        return None
    rows = await (await connection.execute(_statement(projection))).fetchall()
    counts, *examples = (LineCounts(*row) for row in rows)
    return LineComparison(projection.lines.table, counts, tuple(examples))


def _statement(projection: Projection) -> Composed:
    assert projection.lines is not None
    table, names = projection.lines.table, projection.lines.columns
    return _LOOK.format(
        key=Identifier(projection.lines.aggregate),
        live=SQL(", ").join(Identifier("l", name) for name in names),
        built=SQL(", ").join(Identifier("b", name) for name in names),
        lines=Identifier(table),
        shadow_lines=Identifier(SCHEMA, table),
        rows=Identifier(projection.model),
        shadow_rows=Identifier(SCHEMA, projection.model),
        counts=SQL(", ").join(SQL("count(*) FILTER (WHERE kind = {})").format(kind) for kind in _KINDS),
        limit=MAX_EXAMPLES + 1,
    )

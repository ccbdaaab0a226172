"""The SQL that writes changes: one statement for all whole rows, one for each set of columns that changes otherwise,
one for all lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, LiteralString, NamedTuple, TypeAlias

from psycopg.sql import SQL, Composed, Identifier

from projections.arrays import Array, array
from projections.projection import Change, Projection

Table: TypeAlias = tuple[str, ...]
"""The parts of a table's name."""


class Statement(NamedTuple):
    """What `execute` takes. Arrays go in as parameters, one a column, so that any number of rows is one statement."""

    query: bytes
    parameters: Sequence[Array]
    rows: int
    """That it is for."""


_Columns: TypeAlias = tuple[tuple[str, LiteralString], ...]
"""Names and types."""


class _Group(NamedTuple):
    """Rows that one statement writes."""

    query: Callable[[Table, _Columns, bytes], bytes]
    table: Table
    columns: _Columns
    values: list[Sequence[Any]]
    """By column."""


_ROW = (("id", "uuid"), ("version", "bigint"))
_BASE = (("base", "bigint"),)
_LINE = (("sequence", "bigint"), ("line", "smallint"))
_LINE_KEY = itemgetter(0, 1, 2)


def statements(
    projection: Projection, table: Table, changes: Sequence[Change], *, first: Statement | None = None
) -> Iterator[Statement]:
    """What writes the changes, at most one an aggregate, and their lines.

    A row at or above a change's version stays as it is, and a row is only changed from the version the change was made
    for or a later one, so that two workers with the same events do no harm. Rows go by id within a statement, not
    across them.
    A line that is there already is the same one.

    Args:
        first: an `INSERT`. The first of the statements does that too, before it touches any row.
    """
    for group in _groups(projection, table, changes):
        parameters = [array(kind, values) for (_, kind), values in zip(group.columns, group.values, strict=True)]
        before = b""
        if first is not None:
            before, parameters = first.query, [*first.parameters, *parameters]
            first = None
        yield Statement(group.query(group.table, group.columns, before), parameters, len(group.values[0]))
    if first is not None:
        yield first


def _groups(projection: Projection, table: Table, changes: Sequence[Change]) -> Iterator[_Group]:
    shapes: dict[tuple[str, ...], tuple[str, ...]] = {}  # there are few, and many changes
    groups: dict[tuple[bool, tuple[str, ...]], list[Change]] = {}
    for change in sorted(changes, key=_number):
        given = tuple(change.columns)
        names = shapes.get(given)
        if names is None:
            names = shapes[given] = tuple(name for name in projection.columns if name in change.columns)
        groups.setdefault((change.base == 0, names), []).append(change)
    for (whole, names), group in groups.items():
        columns = tuple((name, projection.columns[name]) for name in names)
        values: list[Sequence[Any]] = [[change.columns[name] for change in group] for name in names]
        key: list[Sequence[Any]] = [[change.id for change in group], [change.version for change in group]]
        if whole:
            yield _Group(_insert, table, (*_ROW, *columns), [*key, *values])
        else:
            bases = [change.base for change in group]
            yield _Group(_update, table, (*_ROW, *_BASE, *columns), [*key, bases, *values])
    if projection.lines is not None:
        rows = sorted((line for change in changes for line in change.lines), key=_LINE_KEY)
        if rows:
            lines = projection.lines
            columns = ((lines.aggregate, "uuid"), *_LINE, *lines.columns.items())
            yield _Group(_add, (*table[:-1], lines.table), columns, list(zip(*rows, strict=True)))


def _number(change: Change) -> int:
    """PostgreSQL orders ids by their bytes, which is by this. Comparing `UUID`s is slow."""
    return change.id.int


@cache
def _insert(table: Table, columns: _Columns, first: bytes) -> bytes:
    names = [Identifier(name) for name, _ in columns]
    return _after(
        first,
        SQL(
            "INSERT INTO {table} AS t ({names}) SELECT * FROM {rows} AS u"
            " ON CONFLICT (id) DO UPDATE SET {sets} WHERE t.version < EXCLUDED.version"
        ).format(
            table=Identifier(*table),
            names=SQL(", ").join(names),
            rows=_rows(columns, first),
            sets=SQL(", ").join(SQL("{0} = EXCLUDED.{0}").format(name) for name in names[1:]),
        ),
    )


@cache
def _update(table: Table, columns: _Columns, first: bytes) -> bytes:
    names = [Identifier(name) for name, _ in columns]
    changed = [name for name, (column, _) in zip(names, columns, strict=True) if column not in ("id", "base")]
    return _after(
        first,
        SQL(
            "UPDATE {table} AS t SET {sets} FROM {rows} AS u ({names})"
            " WHERE t.id = u.id AND t.version < u.version AND t.version >= u.base"
        ).format(
            table=Identifier(*table),
            sets=SQL(", ").join(SQL("{0} = u.{0}").format(name) for name in changed),
            rows=_rows(columns, first),
            names=SQL(", ").join(names),
        ),
    )


@cache
def _add(table: Table, columns: _Columns, first: bytes) -> bytes:
    return _after(
        first,
        SQL("INSERT INTO {table} ({names}) SELECT * FROM {rows} AS u ON CONFLICT DO NOTHING").format(
            table=Identifier(*table),
            names=SQL(", ").join(Identifier(name) for name, _ in columns),
            rows=_rows(columns, first),
        ),
    )


def _rows(columns: _Columns, first: bytes) -> Composed:
    """A table of the parameters. Its rows are there once all of `first` is done, since they ask how much that was."""
    rows = SQL("unnest({0})").format(SQL(", ").join(SQL("%b::{0}[]").format(SQL(kind)) for _, kind in columns))
    return SQL("(SELECT * FROM {0} WHERE (SELECT count(*) FROM first) >= 0)").format(rows) if first else rows


def _after(first: bytes, query: Composed) -> bytes:
    return b"WITH first AS (%b RETURNING 1) %b" % (first, query.as_bytes()) if first else query.as_bytes()

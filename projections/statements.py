"""The SQL that writes changes: one statement for all whole rows, one for each set of columns that changes otherwise,
one for all lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, LiteralString, TypeAlias

from psycopg.sql import SQL, Composed, Identifier

from projections.projection import Change, Projection

Statement: TypeAlias = tuple[bytes, list[list[Any]]]
"""What `execute` takes: arrays go in as parameters, one a column, so that any number of rows is one statement."""


Table: TypeAlias = tuple[str, ...]
"""The parts of a table's name."""

_EVENT = ("sequence", "line")
_KEY = itemgetter(0, 1, 2)


def statements(projection: Projection, table: Table, changes: Sequence[Change]) -> Iterator[Statement]:
    """What writes the changes, at most one an aggregate, and their lines.

    A row at or above a change's version stays as it is, and a row is only changed from the version the change was made
    for or a later one, so that two workers with the same events do no harm. Rows go by id within a statement, not
    across them.
    A line that is there already is the same one.
    """
    groups: dict[tuple[bool, tuple[str, ...]], list[Change]] = {}
    for change in sorted(changes, key=attrgetter("id")):
        names = tuple(name for name in projection.columns if name in change.columns)
        groups.setdefault((change.base == 0, names), []).append(change)
    for (whole, names), group in groups.items():
        values = [[change.columns[name] for change in group] for name in names]
        ids, versions = [change.id for change in group], [change.version for change in group]
        if whole:
            yield _insert(table, names, _types(projection, names)), [ids, versions, *values]
        else:
            bases = [change.base for change in group]
            yield _update(table, names, _types(projection, names)), [ids, versions, bases, *values]
    if projection.lines is not None:
        rows = sorted((line for change in changes for line in change.lines), key=_KEY)
        if rows:
            lines = projection.lines
            types = tuple(lines.columns.values())
            add = _add((*table[:-1], lines.table), (lines.aggregate, *_EVENT, *lines.columns), types)
            yield add, [list(column) for column in zip(*rows, strict=True)]


def _types(projection: Projection, names: tuple[str, ...]) -> tuple[LiteralString, ...]:
    return tuple(projection.columns[name] for name in names)


@cache
def _insert(table: Table, names: tuple[str, ...], types: tuple[LiteralString, ...]) -> bytes:
    columns = [Identifier(name) for name in ("id", "version", *names)]
    return (
        SQL(
            "INSERT INTO {table} AS t ({columns}) SELECT * FROM {rows}"
            " ON CONFLICT (id) DO UPDATE SET {sets} WHERE t.version < EXCLUDED.version"
        )
        .format(
            table=Identifier(*table),
            columns=SQL(", ").join(columns),
            rows=_rows(("uuid", "bigint", *types)),
            sets=SQL(", ").join(SQL("{0} = EXCLUDED.{0}").format(column) for column in columns[1:]),
        )
        .as_bytes()
    )


@cache
def _update(table: Table, names: tuple[str, ...], types: tuple[LiteralString, ...]) -> bytes:
    columns = [Identifier(name) for name in names]
    return (
        SQL(
            "UPDATE {table} AS t SET {sets} FROM {rows} AS u (id, version, base{columns})"
            " WHERE t.id = u.id AND t.version < u.version AND t.version >= u.base"
        )
        .format(
            table=Identifier(*table),
            sets=SQL(", ").join(SQL("{0} = u.{0}").format(column) for column in (Identifier("version"), *columns)),
            rows=_rows(("uuid", "bigint", "bigint", *types)),
            columns=SQL("").join(SQL(", {0}").format(column) for column in columns),
        )
        .as_bytes()
    )


@cache
def _add(table: Table, names: tuple[str, ...], types: tuple[LiteralString, ...]) -> bytes:
    return (
        SQL("INSERT INTO {table} ({columns}) SELECT * FROM {rows} ON CONFLICT DO NOTHING")
        .format(
            table=Identifier(*table),
            columns=SQL(", ").join(map(Identifier, names)),
            rows=_rows(("uuid", "bigint", "smallint", *types)),
        )
        .as_bytes()
    )


def _rows(types: Sequence[LiteralString]) -> Composed:
    """A table of the parameters: `unnest(%b::uuid[], …)`, binary, which costs a fraction of text here."""
    return SQL("unnest({0})").format(SQL(", ").join(SQL("%b::{0}[]").format(SQL(kind)) for kind in types))

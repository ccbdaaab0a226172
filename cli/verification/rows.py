"""Everything there is, aggregate by aggregate: its events, its snapshots and its rows in the read models, side by side.

All are read in the order of their ids in one snapshot of the database, so that memory holds one aggregate at a time
however long the log is, and nothing can change between two looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Identifier

from adapters.database import connection_options
from projections.models import MODELS
from projections.projection import Line

FETCH = 5_000
"""Rows fetched at a time from each table; some megabytes."""

_EVENTS = SQL(
    "SELECT originator_id, originator_version, topic, state, notification_id, chain FROM stored_events"
    " ORDER BY originator_id, originator_version"
)
_SNAPSHOTS = SQL(
    "SELECT originator_id, originator_version, topic, state FROM stored_snapshots"
    " ORDER BY originator_id, originator_version"
)
_MAX_ID = UUID(int=2**128 - 1)


@dataclass(slots=True)
class Everything:
    """What the database holds of one aggregate."""

    id: UUID
    events: list[tuple[int, str, bytes, int, bytes | None]] = field(default_factory=list)
    """Version, stored name, state, position, hash."""
    snapshots: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    """By version, stored name and state."""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By read model, the row."""
    lines: dict[str, list[Line]] = field(default_factory=dict)
    """By table of lines, where there are any."""


@contextmanager
def one_moment(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that sees the database as it is now and writes nothing."""
    options = connection_options(statement_timeout_ms=0)
    with psycopg.connect(database_url, **options) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


def read_everything(connection: psycopg.Connection[Any]) -> Iterator[Everything]:
    """Every aggregate that has an event, a snapshot or a row, in the order of their ids."""
    events = _grouped(connection, "events", _EVENTS)
    snapshots = _grouped(connection, "snapshots", _SNAPSHOTS)
    models = {
        model: _grouped(
            connection,
            model,
            SQL("SELECT {} FROM {} ORDER BY id").format(
                SQL(", ").join(Identifier(name) for name in ("id", "version", *projection.columns)),
                Identifier(model),
            ),
        )
        for model, projection in MODELS.items()
    }
    lines = {
        kept.table: _grouped(
            connection,
            kept.table,
            SQL("SELECT {0}, * FROM (SELECT {1} FROM {2}) AS l ORDER BY {0}, sequence, line").format(
                Identifier(kept.aggregate),
                SQL(", ").join(Identifier(name) for name in (kept.aggregate, "sequence", "line", *kept.columns)),
                Identifier(kept.table),
            ),
        )
        for projection in MODELS.values()
        if (kept := projection.lines) is not None
    }
    while True:
        sources = (events, snapshots, *models.values(), *lines.values())
        aggregate_id = min(source.next_id for source in sources)
        if all(source.ended for source in sources):
            return
        found = Everything(aggregate_id)
        found.events = events.take(aggregate_id)
        found.snapshots = {version: (topic, state) for version, topic, state in snapshots.take(aggregate_id)}
        for model, source in models.items():
            for values in source.take(aggregate_id):
                found.rows[model] = dict(zip(("version", *MODELS[model].columns), values, strict=True))
        found.lines = {table: taken for table, source in lines.items() if (taken := source.take(aggregate_id))}
        yield found


class _Grouped:
    """A table in the order of its ids, taken one id at a time."""

    def __init__(self, rows: Iterator[tuple[Any, ...]]) -> None:
        self._groups = groupby(rows, key=lambda row: row[0])
        self.next_id: UUID
        self._advance()

    def take(self, aggregate_id: UUID) -> list[Any]:
        if self.ended or self.next_id != aggregate_id:
            return []
        taken = [row[1:] for row in self._rows]
        self._advance()
        return taken

    def _advance(self) -> None:
        following = next(self._groups, None)
        self.ended = following is None
        self.next_id, self._rows = following if following is not None else (_MAX_ID, iter(()))


def _grouped(connection: psycopg.Connection[Any], name: str, query: Any) -> _Grouped:
    cursor = connection.cursor(name=f"verify_{name}")
    cursor.itersize = FETCH
    cursor.execute(query)
    return _Grouped(iter(cursor))

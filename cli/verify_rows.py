"""The rows of one read model in the order of ids, each compared with what the log makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.sql import SQL, Identifier

from cli.verify_findings import Findings
from projections.projection import Columns, Projection

FETCH = 5_000
"""Rows in memory at a time."""


class Rows:
    """A read model beside the log: asked for ids in ascending order."""

    def __init__(self, connection: Connection[Any], projection: Projection, findings: Findings) -> None:
        """`connection`: in the transaction whose snapshot is verified."""
        self.projection = projection
        self._findings = findings
        self._rows = self._read(connection)
        self._next = next(self._rows, None)

    def find(self, aggregate_id: UUID) -> tuple[int, Columns] | None:
        """The aggregate's row: its version and columns. Rows passed over have no events, and are taken down."""
        while self._next is not None and self._next[0] < aggregate_id:
            self._findings.add(f"{self.projection.model} {self._next[0]} is a row without events")
            self._next = next(self._rows, None)
        if self._next is None or self._next[0] != aggregate_id:
            return None
        _, version, columns = self._next
        self._next = next(self._rows, None)
        return version, columns

    def finish(self) -> None:
        """Takes down the rows that are left: they have no events."""
        while self._next is not None:
            self._findings.add(f"{self.projection.model} {self._next[0]} is a row without events")
            self._next = next(self._rows, None)

    def compare(self, aggregate_id: UUID, version: int, expected: Columns, found: Columns) -> None:
        """Takes down every column in which a row differs from the log at the row's version."""
        for name, value in expected.items():
            if found[name] != value:
                self._findings.add(
                    f"{self.projection.model} {aggregate_id} at version {version}: {name} is {found[name]!r},"
                    f" the log says {value!r}"
                )

    def _read(self, connection: Connection[Any]) -> Iterator[tuple[UUID, int, Columns]]:
        names = list(self.projection.columns)
        # Text of JSON as it was written, not as it might be read.
        columns = [
            SQL("{}::text").format(Identifier(name)) if kind == "json" else Identifier(name)
            for name, kind in self.projection.columns.items()
        ]
        with connection.cursor(f"rows_of_{self.projection.model}", binary=True) as cursor:
            cursor.itersize = FETCH
            cursor.execute(
                SQL("SELECT id, version, {} FROM {} ORDER BY id").format(
                    SQL(", ").join(columns), Identifier(self.projection.model)
                )
            )
            for row in cursor:
                yield row[0], row[1], dict(zip(names, row[2:], strict=True))

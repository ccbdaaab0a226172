"""The table `ledger` as it is, and as it has to be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from domain.published import PublishedEvent
from projections.ledger import LEDGER, make_lines
from projections.projection import Line

COLUMNS = ", ".join(("order_id", "sequence", "line", *LEDGER.columns))


def stored_lines(database_url: str, table: str = "ledger") -> list[Line]:
    """In the order of their key."""
    return ask(database_url, f"SELECT {COLUMNS} FROM {table} ORDER BY 1, 2, 3")


def expected_lines(events: Iterable[PublishedEvent]) -> list[Line]:
    return sorted((line for event in events for line in make_lines(event)), key=lambda line: line[:3])


def ask(database_url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def do(database_url: str, statement: str, *parameters: Any) -> int:
    with psycopg.connect(database_url, autocommit=True) as connection:
        return connection.execute(statement.encode(), parameters).rowcount

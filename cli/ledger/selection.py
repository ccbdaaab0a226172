"""Which lines of the ledger a command is about, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Composed

from projections.ledger import SELLERS

FETCH = 5_000
"""Rows fetched at a time; a megabyte or two."""

MAX_UNBALANCED = 10
"""Events named whose lines do not come to 0."""

Connection = psycopg.Connection[Any]

COLUMNS = (
    "order_id", "sequence", "line", "position", "at", "type", "account", "party", "ticket_id", "quantity", "amount",
    "currency", "reference", "number",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the ledger, see `projections/schema/0002_ledger.sql`."""

    order_id: UUID
    sequence: int
    line: int
    position: int
    at: datetime
    type: str
    account: str
    party: UUID | None
    ticket_id: UUID | None
    quantity: int | None
    amount: int
    currency: str
    reference: str | None
    number: int | None


@dataclass(frozen=True, slots=True)
class Balance:
    """An account in one currency, in minor units."""

    currency: str
    account: str
    debit: int
    credit: int

    @property
    def amount(self) -> int:
        """More than 0: debit."""
        return self.debit - self.credit


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """All lines, or fewer."""

    order_id: UUID | None = None
    seller_id: UUID | None = None
    """Of their account alone."""
    since: datetime | None = None
    until: datetime | None = None
    """The first moment that is not in it."""
    position: int | None = None
    """The last in the log that is in it."""

    @property
    def is_whole(self) -> bool:
        """Whether it has all lines of each event it has."""
        return self.seller_id is None

    def where(self) -> tuple[Composed, list[Any]]:
        """As a condition, with its parameters."""
        wanted: tuple[tuple[LiteralString, Any], ...] = (
            ("order_id = %s", self.order_id),
            ("party = %s", self.seller_id),
            ("account = %s", SELLERS if self.seller_id else None),
            ("at >= %s", self.since),
            ("at < %s", self.until),
            ("position <= %s", self.position),
        )
        given = [(condition, value) for condition, value in wanted if value is not None]
        conditions = SQL(" AND ").join([SQL("true"), *(SQL(condition) for condition, _ in given)])
        return conditions, [value for _, value in given]


def lines(connection: Connection, selection: Selection) -> Iterator[Line]:
    """In the order of the log, by a server-side cursor: memory holds some of them."""
    where, parameters = selection.where()
    query = SQL("SELECT {} FROM ledger WHERE {} ORDER BY position, line").format(_list(COLUMNS), where)
    with connection.cursor(name="ledger_lines") as cursor:
        cursor.itersize = FETCH
        for row in cursor.execute(query, parameters):
            yield Line(*row)


def count(connection: Connection, selection: Selection) -> int:
    """How many there are."""
    where, parameters = selection.where()
    return int(_rows(connection, SQL("SELECT count(*) FROM ledger WHERE {}").format(where), parameters)[0][0])


def balances(connection: Connection, selection: Selection) -> list[Balance]:
    """By currency and account."""
    where, parameters = selection.where()
    query = SQL(
        "SELECT currency, account, COALESCE(sum(amount) FILTER (WHERE amount > 0), 0)::bigint,"
        " COALESCE(-sum(amount) FILTER (WHERE amount < 0), 0)::bigint FROM ledger WHERE {} GROUP BY 1, 2"
    ).format(where)
    return [Balance(*row) for row in _rows(connection, query, parameters)]


def unbalanced(connection: Connection, selection: Selection) -> list[tuple[UUID, int, str, int]]:
    """Events whose lines do not come to 0: order, sequence, currency, sum; the first `MAX_UNBALANCED` of them."""
    where, parameters = selection.where()
    query = SQL(
        "SELECT order_id, sequence, currency, sum(amount)::bigint FROM ledger WHERE {} GROUP BY 1, 2, 3"
        " HAVING sum(amount) <> 0 ORDER BY 1, 2, 3 LIMIT {}"
    ).format(where, MAX_UNBALANCED)
    return _rows(connection, query, parameters)


def _rows(connection: Connection, query: Composed, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(query, parameters).fetchall()


def _list(names: Sequence[LiteralString]) -> Composed:
    return SQL(", ").join(map(SQL, names))

"""What was sold, given back and paid out in a time, read from the ledger (`projections/ledger.py`)."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import datetime
from operator import add
from typing import Literal, LiteralString
from uuid import UUID

from psycopg.sql import SQL, Composed
from psycopg_pool import AsyncConnectionPool

Interval = Literal["day", "hour", "month"]

MAX_TICKETS = 100
"""Listings told of, those that sold for most."""

_SOLD = SQL("type = 'OrderCompleted'")
_MOVED = SQL("type IN ('TransferCreated', 'TransferReversed')")
_SUMS = SQL(
    "COALESCE(sum(quantity) FILTER (WHERE {sold}), 0)::bigint,"
    " COALESCE(-sum(amount) FILTER (WHERE {sold}), 0)::bigint,"
    " COALESCE(sum(amount) FILTER (WHERE NOT {sold} AND NOT {moved}), 0)::bigint,"
    " COALESCE(-sum(amount) FILTER (WHERE account = 'house'), 0)::bigint,"
    " COALESCE(-sum(amount) FILTER (WHERE account = 'sellers' AND NOT {moved}), 0)::bigint,"
    " COALESCE(sum(amount) FILTER (WHERE {moved}), 0)::bigint"
).format(sold=_SOLD, moved=_MOVED)
# One statement for each grouping, and the steps are put in order here: the planner takes each line for a step of its
# own, since it knows nothing of what becomes of its time, and would sort a million of them on disk for thirty groups.
_STEPS = SQL(
    "SELECT date_trunc(%(interval)s, at) AS start, currency, {sums} FROM ledger"
    " WHERE at >= %(since)s AND {wanted} GROUP BY start, currency"
)
_TICKETS = SQL(
    "SELECT ticket_id, currency, {sums} FROM ledger WHERE at >= %(since)s AND {wanted} AND ticket_id IS NOT NULL"
    " GROUP BY ticket_id, currency ORDER BY sum(amount) FILTER (WHERE {sold}), ticket_id LIMIT {most}"
)
_ORDERS = SQL(
    "SELECT currency, count(DISTINCT order_id) FROM ledger"
    " WHERE {sold} AND account = 'sellers' AND at >= %(since)s AND {wanted} GROUP BY currency"
)
_OWED = SQL(
    "SELECT currency, -sum(amount)::bigint FROM ledger WHERE account = 'sellers' AND {wanted}"
    " GROUP BY currency HAVING sum(amount) <> 0"
)


@dataclass(frozen=True, slots=True)
class Question:
    """Whose sales, and which."""

    seller_id: UUID | None
    """None: everybody's."""
    since: datetime
    until: datetime
    """The first moment that is not asked for."""
    interval: Interval
    """Of the series; days and months are UTC's."""
    ticket_id: UUID | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one currency, in minor units; gross − refunded = fees + net."""

    tickets: int
    """Units sold."""
    gross: int
    """What buyers paid for them."""
    refunded: int
    """What of these or earlier sales went back to buyers, lost disputes among it."""
    fees: int
    """The house's part, less what it gave back."""
    net: int
    """The sellers' part."""
    paid_out: int
    """Moved to the sellers' accounts at Stripe, less what came back from there."""

    def __add__(self, other: Sums) -> Sums:
        return Sums(*map(add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class Sales:
    """The answer."""

    orders: dict[str, int]
    """By currency, orders that were paid."""
    owed: dict[str, int]
    """By currency, what of all sales ever was not paid out at the end of the time; of one listing nobody can say."""
    steps: list[tuple[datetime, str, Sums]]
    """Begin of the step, currency; in this order. Steps in which nothing happened are left out."""
    tickets: list[tuple[UUID, str, Sums]]
    """Listing, currency; those that sold for most come first, at most `MAX_TICKETS`."""

    def totals(self) -> dict[str, Sums]:
        """By currency."""
        found: dict[str, Sums] = {}
        for _, currency, sums in self.steps:
            found[currency] = found[currency] + sums if currency in found else sums
        return found


class SalesQueries:
    """Reads through a pool whose sessions are on UTC (`adapters.database.make_pool`). May raise
    `psycopg.OperationalError` (also as `psycopg_pool.PoolTimeout`)."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def sales(self, question: Question) -> Sales:
        """Reads each line of theirs in the time, and for what is owed all before it."""
        parts = {"wanted": _wanted(question), "sums": _SUMS, "sold": _SOLD, "most": MAX_TICKETS}
        values = {name: getattr(question, name) for name in Question.__dataclass_fields__}
        async with self._pool.connection() as connection, connection.pipeline():
            cursors = [
                await connection.execute(query.format(**parts), values, prepare=False)
                for query in (_STEPS, _TICKETS, _ORDERS, _OWED)
            ]
            steps, tickets, orders, owed = [await cursor.fetchall() for cursor in cursors]
        return Sales(
            orders=dict(orders),
            owed={} if question.ticket_id else dict(owed),
            steps=[(start, currency, Sums(*sums)) for start, currency, *sums in sorted(steps)],
            tickets=[(ticket_id, currency, Sums(*sums)) for ticket_id, currency, *sums in tickets],
        )


def _wanted(question: Question) -> Composed:
    conditions: list[LiteralString] = ["at < %(until)s", "account IN ('sellers', 'house')"]
    conditions.append("party IS NOT NULL" if question.seller_id is None else "party = %(seller_id)s")
    if question.ticket_id is not None:
        conditions.append("ticket_id = %(ticket_id)s")
    if question.currency is not None:
        conditions.append("currency = %(currency)s")
    return SQL(" AND ").join(map(SQL, conditions))

"""What the read models say that Stripe's books are compared with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from domain.money import Money
from domain.payouts import MAX_TRIES

CHARGES, REFUNDS = "ChargeCreated", "RefundCreated"

_OPEN_INTENTS = (
    "SELECT id, updated_at, payment_intent_id FROM buyer_orders WHERE intent_open"
    " AND updated_at < %s"
    " AND (updated_at, id) > (COALESCE(%s, '-infinity'::timestamptz), %s) ORDER BY updated_at, id LIMIT %s"
)
_KNOWN = (
    "SELECT DISTINCT l.reference FROM unnest(%s::uuid[], %s::text[]) AS asked (order_id, reference)"
    " JOIN ledger AS l USING (order_id, reference) WHERE l.type = %s"
)
_NEW_SEEN = (
    "SET statement_timeout = '10min';"
    " CREATE TEMPORARY TABLE seen_at_stripe (kind text, reference text, amount bigint, currency text)"
)
_FORGET_SEEN = "DROP TABLE seen_at_stripe; RESET statement_timeout"
_NOTE_SEEN = "INSERT INTO seen_at_stripe SELECT %s, * FROM unnest(%s::text[], %s::bigint[], %s::text[])"
_BOOKED_OTHERWISE = (
    "SELECT l.position, l.line, l.order_id, l.reference, abs(l.amount), l.currency, s.amount, s.currency"
    " FROM ledger AS l LEFT JOIN seen_at_stripe AS s ON s.kind = l.type AND s.reference = l.reference"
    " WHERE l.type = %s AND l.account = 'stripe' AND l.at >= %s AND l.at < %s"
    " AND (s.amount, s.currency) IS DISTINCT FROM (abs(l.amount), l.currency)"
    " AND (l.position, l.line) > (%s, %s) ORDER BY l.position, l.line LIMIT %s"
)
_PAGE = 1_000
_STUCK = (
    "SELECT o.id, a.reaction, a.attempts, a.last_error FROM reaction_attempts AS a"
    " JOIN buyer_orders AS o ON o.id = a.order_id WHERE a.attempts >= %s"
    " AND (o.moves_due > 0 OR o.intent_open OR o.unsettled_charge_id IS NOT NULL) ORDER BY o.id LIMIT %s"
)
_FAILED_REFUNDS = (
    "SELECT o.id, r.number, (r.money->>'amount')::bigint, r.money->>'currency' FROM"
    " (SELECT DISTINCT order_id FROM ledger WHERE type = 'RefundFailed') AS failed"
    " JOIN buyer_orders AS o ON o.id = failed.order_id,"
    " json_to_recordset(o.refunds) AS r (number integer, money json, refund_id text, tries integer)"
    " WHERE r.refund_id IS NULL AND r.tries >= %s ORDER BY 1, 2 LIMIT %s"
)


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """A PaymentIntent that may take money, as far as was heard."""

    order_id: UUID
    updated_at: datetime
    payment_intent_id: str


@dataclass(frozen=True, slots=True)
class Booked:
    """A charge or refund in the ledger."""

    order_id: UUID
    reference: str
    """Stripe's id."""
    money: Money
    at_stripe: Money | None
    """What was seen there; None: nothing under this id."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """Work at Stripe that failed again and again."""

    order_id: UUID
    reaction: str
    attempts: int
    last_error: str


@dataclass(frozen=True, slots=True)
class FailedRefund:
    """Money that a buyer is owed, and that their card's bank does not take."""

    order_id: UUID
    number: int
    money: Money


class Reconciling:
    """Every method may raise `psycopg.OperationalError`."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def open_intents(self, before: datetime, limit: int, after: OpenIntent | None = None) -> list[OpenIntent]:
        """Intents without a known end of orders to which nothing has happened since; on from `after`."""
        place = (None, UUID(int=0)) if after is None else (after.updated_at, after.order_id)
        return [OpenIntent(*row) for row in await self._rows(_OPEN_INTENTS, (before, *place, limit))]

    async def known(self, kind: str, orders: Sequence[UUID], references: Sequence[str]) -> set[str]:
        """Which of these (order, reference) are in the ledger. `kind`: `CHARGES` or `REFUNDS`."""
        return {row[0] for row in await self._rows(_KNOWN, (list(orders), list(references), kind))}

    @asynccontextmanager
    async def seen_at_stripe(self) -> AsyncIterator[SeenAtStripe]:
        """Nothing at first; forgotten after the `with` block."""
        async with self._pool.connection() as connection:
            await connection.execute(_NEW_SEEN)
            try:
                yield SeenAtStripe(connection)
            finally:
                await connection.execute(_FORGET_SEEN)

    async def stuck(self, attempts: int, limit: int) -> list[Stuck]:
        """What failed at least so often and is still to be done."""
        return [Stuck(*row) for row in await self._rows(_STUCK, (attempts, limit))]

    async def failed_refunds(self, limit: int) -> list[FailedRefund]:
        """Refunds that are tried no more."""
        rows = await self._rows(_FAILED_REFUNDS, (MAX_TRIES, limit))
        return [FailedRefund(order_id, number, Money(*money)) for order_id, number, *money in rows]

    async def _rows(self, query: str, parameters: Any) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, parameters)).fetchall()


class SeenAtStripe:
    """What Stripe's books have, kept in a temporary table: a day of a million charges takes no memory here, and nobody
    else on the event loop waits while it is compared."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def note(self, kind: str, references: Sequence[str], moneys: Sequence[Money]) -> None:
        """These are there. `kind`: `CHARGES` or `REFUNDS`."""
        amounts, currencies = [money.amount for money in moneys], [money.currency for money in moneys]
        await self._connection.execute(_NOTE_SEEN, (kind, list(references), amounts, currencies))

    async def booked_otherwise(self, kind: str, since: datetime, until: datetime) -> AsyncIterator[Booked]:
        """What the ledger wrote down in this time, the end excluded, and Stripe has not, or has otherwise."""
        await self._connection.execute("ANALYZE seen_at_stripe")  # nobody else does; unknown, it is read once a line
        place: tuple[int, int] = (0, 0)
        while True:
            parameters = (kind, since, until, *place, _PAGE)
            rows = await (await self._connection.execute(_BOOKED_OTHERWISE, parameters)).fetchall()
            for position, line, order_id, reference, amount, currency, *seen in rows:
                place = (position, line)
                at_stripe = None if seen[0] is None else Money(*seen)
                yield Booked(order_id, reference, Money(amount, currency), at_stripe)
            if len(rows) < _PAGE:
                return

"""What the read models say that Stripe's books are compared with. Each method is one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

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
_BOOKED = (
    "SELECT order_id, reference, abs(amount), currency FROM ledger"
    " WHERE type = %s AND account = 'stripe' AND at >= %s AND at < %s ORDER BY position, line"
)
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

    async def booked(self, kind: str, since: datetime, until: datetime) -> list[Booked]:
        """What was written down in this time, the end excluded."""
        rows = await self._rows(_BOOKED, (kind, since, until))
        return [Booked(order_id, reference, Money(amount, currency)) for order_id, reference, amount, currency in rows]

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

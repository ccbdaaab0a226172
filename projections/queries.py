"""Everything that is read from the read models. Each method is one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

from projections.cursor import BadCursor, decode_cursor, encode_cursor
from projections.rows import (
    SELECT_ORDERS,
    SELECT_TICKETS,
    DueOrder,
    IntentToCancel,
    MoneyDue,
    OrderRow,
    Page,
    PayoutDue,
    TicketRow,
    UnsettledCharge,
    order_row,
    ticket_row,
)
from projections.ticket_search import SORTS, TicketFilter, search_query, sort_value

__all__ = [
    "SORTS",
    "BadCursor",
    "DueOrder",
    "IntentToCancel",
    "MoneyDue",
    "OrderRow",
    "Page",
    "PayoutDue",
    "Queries",
    "TicketFilter",
    "TicketRow",
    "UnsettledCharge",
]

_ORDERS_SORT = "orders"

_TICKET = SELECT_TICKETS + " WHERE id = %b"
_TICKETS_BY_ID = (
    SELECT_TICKETS + " JOIN unnest(%b::uuid[]) WITH ORDINALITY AS wanted (id, place) USING (id) ORDER BY place"
)
_ORDER = SELECT_ORDERS + " WHERE id = %b"
_ORDERS = SELECT_ORDERS + " WHERE buyer_id = %s ORDER BY created_at DESC, id DESC LIMIT %s"
_ORDERS_AFTER = (
    SELECT_ORDERS + " WHERE buyer_id = %s AND (created_at, id) < (%s, %s) ORDER BY created_at DESC, id DESC LIMIT %s"
)
# What is due is found by an index as long as the moment is the statement's: `clock_timestamp()` is another one for each
# row, so all rows that are not due would be read, to be left out.
_DUE_ORDERS = (
    "SELECT id, expires_at FROM buyer_orders WHERE status IN ('created', 'awaiting_payment')"
    " AND expires_at <= statement_timestamp() AND (expires_at, id) > (COALESCE(%s, '-infinity'::timestamptz), %s)"
    " ORDER BY expires_at, id LIMIT %s"
)
_DUE_WORK = (
    "SELECT {} FROM buyer_orders AS o WHERE {}"
    " AND NOT EXISTS (SELECT FROM reaction_attempts AS a WHERE a.order_id = o.id AND a.reaction = %s"
    " AND a.version >= o.version AND a.next_try_at > clock_timestamp()) ORDER BY updated_at, id LIMIT %s"
)
_MONEY_DUE = _DUE_WORK.format("id, version", "moves_due > 0")
_UNSETTLED = _DUE_WORK.format("id, version, unsettled_charge_id", "unsettled_charge_id IS NOT NULL")
_INTENTS_TO_CANCEL = _DUE_WORK.format(
    "id, version, payment_intent_id", "intent_open AND status IN ('cancelled', 'expired')"
)
_PAYOUTS_DUE = (
    "SELECT id, payout_at, EXISTS (SELECT FROM json_to_recordset(items) AS item (seller_id uuid)"
    " JOIN user_status AS seller ON seller.id = item.seller_id WHERE seller.transfers_enabled)"
    " FROM (SELECT id, payout_at, items FROM buyer_orders WHERE payout_at <= statement_timestamp()"
    " AND (payout_at, id) > (COALESCE(%s, '-infinity'::timestamptz), %s) ORDER BY payout_at, id LIMIT %s) AS due"
    " ORDER BY payout_at, id"
)

MOVE_MONEY, SETTLE, CANCEL_INTENT = "move_money", "settle", "cancel_intent"
"""The reactions, as `reaction_attempts` names them."""


class Queries:
    """Reads through a pool (`adapters.database.make_pool`). Every method may raise `psycopg.OperationalError`
    (also as `psycopg_pool.PoolTimeout`)."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    # Listings -----------------------------------------------------------------------------------------------------

    async def ticket(self, ticket_id: UUID) -> TicketRow | None:
        """One listing, withdrawn or not."""
        rows = await self._rows(_TICKET, (ticket_id,))
        return ticket_row(rows[0]) if rows else None

    async def tickets_by_id(self, ids: Sequence[UUID]) -> list[TicketRow]:
        """The listings that exist, in the order of `ids`."""
        return [ticket_row(row) for row in await self._rows(_TICKETS_BY_ID, (list(ids),))]

    async def tickets(self, wanted: TicketFilter, sort: str, limit: int, cursor: str | None) -> Page[TicketRow]:
        """One page of the listings that fit.

        Args:
            sort: one of `SORTS`.
            limit: rows on a page, at least 1.
            cursor: `next_cursor` of the page before; with another filter the order still holds.

        Raises:
            BadCursor: it is not a cursor of a list in this order.
        """
        assert sort in SORTS
        assert limit > 0
        query, parameters, keep_plan = search_query(wanted, sort, limit, cursor)
        found = [ticket_row(row) for row in await self._rows(query, parameters, prepare=None if keep_plan else False)]
        last = found[limit - 1] if len(found) > limit else None
        next_cursor = None if last is None else encode_cursor(sort, sort_value(last, sort), last.id)
        return Page(tuple(found[:limit]), next_cursor)

    # Orders -------------------------------------------------------------------------------------------------------

    async def order(self, order_id: UUID) -> OrderRow | None:
        """One order, whoever's it is."""
        rows = await self._rows(_ORDER, (order_id,))
        return order_row(rows[0]) if rows else None

    async def orders(self, buyer_id: UUID, *, limit: int, cursor: str | None) -> Page[OrderRow]:
        """One page of a buyer's orders, newest first.

        Raises:
            BadCursor: it is not a cursor of such a list.
        """
        assert limit > 0
        if cursor is None:
            rows = await self._rows(_ORDERS, (buyer_id, limit + 1))
        else:
            after = decode_cursor(cursor, _ORDERS_SORT, datetime)
            rows = await self._rows(_ORDERS_AFTER, (buyer_id, *after, limit + 1))
        found = tuple(order_row(row) for row in rows[:limit])
        more = len(rows) > limit
        return Page(found, encode_cursor(_ORDERS_SORT, found[-1].created_at, found[-1].id) if more else None)

    # Work that falls due ------------------------------------------------------------------------------------------

    async def due_orders(self, limit: int, after: DueOrder | None = None) -> list[DueOrder]:
        """Open orders past their deadline by the database's clock, the longest due first; on from `after`."""
        place = (None, UUID(int=0)) if after is None else (after.expires_at, after.order_id)
        return [DueOrder(*row) for row in await self._rows(_DUE_ORDERS, (*place, limit))]

    async def money_due(self, limit: int) -> list[MoneyDue]:
        """Orders with money to move, but for what waits for its next try; the longest due first."""
        return [MoneyDue(*row) for row in await self._rows(_MONEY_DUE, (MOVE_MONEY, limit))]

    async def unsettled_charges(self, limit: int) -> list[UnsettledCharge]:
        """Charges of which Stripe's fee is to be asked, but for what waits for its next try."""
        return [UnsettledCharge(*row) for row in await self._rows(_UNSETTLED, (SETTLE, limit))]

    async def intents_to_cancel(self, limit: int) -> list[IntentToCancel]:
        """Intents that may still take money for an ended order, but for what waits for its next try."""
        return [IntentToCancel(*row) for row in await self._rows(_INTENTS_TO_CANCEL, (CANCEL_INTENT, limit))]

    async def payouts_due(self, limit: int, after: PayoutDue | None = None) -> list[PayoutDue]:
        """Orders whose time for payouts has come, the longest due first; on from `after`."""
        place = (None, UUID(int=0)) if after is None else (after.payout_at, after.order_id)
        return [PayoutDue(*row) for row in await self._rows(_PAYOUTS_DUE, (*place, limit))]

    async def _rows(self, query: str | bytes, parameters: Any, *, prepare: bool | None = None) -> list[tuple[Any, ...]]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(query, parameters, prepare=prepare, binary=True)
            return await cursor.fetchall()

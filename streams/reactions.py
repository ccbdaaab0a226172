"""What follows when an order has decided: money moves at Stripe, an intent that could still take money is closed.

That something is to be done is read from the read model, so nothing is lost with a process; what it is, the order says
itself. Every step can be repeated: Stripe makes a move once, and hearing of it twice changes nothing. A provider that
is away only delays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from domain.errors import DomainError
from domain.marketplace import Ask, Marketplace
from domain.payouts import Refund, Reversal, Transfer
from domain.ports import PaymentGateway, PaymentUnavailable
from projections.queries import (
    CANCEL_INTENT,
    MOVE_MONEY,
    SETTLE,
    IntentToCancel,
    MoneyDue,
    Queries,
    UnsettledCharge,
)
from streams.attempts import Attempts
from streams.house import house_ask, house_cause, tell_end

INTERVAL_SECONDS = 1.0

BATCH = 100
"""Of each kind, in one tick."""

AT_ONCE = 8
"""Requests to the payment provider under way: far below the rate it allows."""

Due = MoneyDue | UnsettledCharge | IntentToCancel
D = TypeVar("D", MoneyDue, UnsettledCharge, IntentToCancel)

log = logging.getLogger(__name__)


class NotYet(Exception):
    """The provider neither did it nor refused: ask again."""


class Reactions:
    """The timer behind payments."""

    def __init__(self, queries: Queries, marketplace: Marketplace, gateway: PaymentGateway, attempts: Attempts) -> None:
        self._queries = queries
        self._marketplace = marketplace
        self._gateway = gateway
        self._attempts = attempts
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._done: set[tuple[str, Due]] = set()
        """What was done here and the read model still shows as due."""

    async def tick(self) -> None:
        """Does what is due now. Raises `psycopg.Error`."""
        money = await self._queries.money_due(BATCH)
        charges = await self._queries.unsettled_charges(BATCH)
        intents = await self._queries.intents_to_cancel(BATCH)
        await self._do_all(MOVE_MONEY, money, self._move)
        await self._do_all(SETTLE, charges, self._settle)
        await self._do_all(CANCEL_INTENT, intents, self._cancel)
        self._done &= {
            *((MOVE_MONEY, due) for due in money),
            *((SETTLE, due) for due in charges),
            *((CANCEL_INTENT, due) for due in intents),
        }

    async def _do_all(self, reaction: str, dues: Sequence[D], do: Callable[[D], Awaitable[object]]) -> None:
        await asyncio.gather(*(self._do(reaction, due, do) for due in dues if (reaction, due) not in self._done))

    async def _do(self, reaction: str, due: D, do: Callable[[D], Awaitable[object]]) -> None:
        async with self._at_once:
            try:
                await do(due)
            except (PaymentUnavailable, DomainError, NotYet) as error:
                log.warning("%s of order %s is put off (%s)", reaction, due.order_id, type(error).__name__)
                await self._attempts.failed(due.order_id, due.version, reaction, f"{type(error).__name__}: {error}")
            else:
                self._done.add((reaction, due))
                await self._attempts.done(due.order_id, reaction)

    async def _move(self, due: MoneyDue) -> None:
        order_id = due.order_id
        moves, is_disputed = await self._marketplace.look(
            order_id, Ask(house_cause(), lambda order: (order.due_moves(), order.is_disputed))
        )
        failed: Exception | None = None
        for move in moves:
            try:
                await self._make(order_id, move, is_disputed=is_disputed)
            except (PaymentUnavailable, DomainError, NotYet) as error:
                failed = failed or error  # the others do not wait for it
        if failed is not None:
            raise failed

    async def _make(self, order_id: UUID, move: Refund | Transfer | Reversal, *, is_disputed: bool) -> None:
        ask = house_ask()
        match move:
            case Refund():
                made = await self._gateway.refund(order_id, move)
                await self._marketplace.note_refund(order_id, made, ask)
            case Transfer():
                if is_disputed:
                    raise NotYet("a bank is deciding about the money")
                transfer_id = await self._gateway.transfer(order_id, move)
                await self._marketplace.note_transfer(order_id, move.number, transfer_id, ask)
            case Reversal():
                reversal_id = await self._gateway.reverse(order_id, move)
                await self._marketplace.note_reversal(order_id, move.number, reversal_id, ask)

    async def _settle(self, due: UnsettledCharge) -> None:
        settlement = await self._gateway.settlement(due.charge_id)
        if settlement is None:
            raise NotYet("Stripe has not booked the charge yet")
        await self._marketplace.note_settlement(due.order_id, due.charge_id, settlement, house_ask())

    async def _cancel(self, due: IntentToCancel) -> None:
        intent = await self._gateway.cancel(due.payment_intent_id)
        if not await tell_end(self._marketplace, due.order_id, intent):
            raise NotYet(f"the intent is {intent.status}")

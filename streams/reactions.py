"""What follows when an order ends: money that is owed goes back, an intent that could still take money is closed.

What is to be done is read from the read model, so nothing is lost with a process. Every step can be repeated: Stripe
makes one refund of a charge, and hearing of it twice changes nothing. A provider that is away only delays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

import psycopg

from domain.errors import DomainError
from domain.marketplace import Ask, Marketplace
from domain.order import INTENT_CANCELED, ChargeFailure, Order
from domain.ports import PaymentGateway, PaymentUnavailable
from projections.queries import CANCEL_INTENT, REFUND, IntentToCancel, Queries, RefundDue
from streams.attempts import Attempts
from streams.house import house_cause

INTERVAL_SECONDS = 1.0

BATCH = 100
"""Of each kind, in one tick."""

AT_ONCE = 8
"""Requests to the payment provider under way: far below the rate it allows."""

D = TypeVar("D", RefundDue, IntentToCancel)

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
        self._done: set[tuple[str, UUID]] = set()
        """What was done here and the read model still shows as due."""

    async def tick(self) -> None:
        """Does what is due now; never raises."""
        try:
            refunds = await self._queries.refunds_due(BATCH)
            intents = await self._queries.intents_to_cancel(BATCH)
            await self._do_all(REFUND, refunds, self._refund)
            await self._do_all(CANCEL_INTENT, intents, self._cancel)
            due = {(REFUND, due.order_id) for due in refunds} | {(CANCEL_INTENT, due.order_id) for due in intents}
            self._done &= due
        except psycopg.Error as error:
            log.warning("reactions wait for the database (%s)", type(error).__name__)
        except Exception:
            log.exception("reactions failed; they are tried again")

    async def _do_all(self, reaction: str, dues: Sequence[D], do: Callable[[D], Awaitable[object]]) -> None:
        await asyncio.gather(
            *(self._do(reaction, due, do) for due in dues if (reaction, due.order_id) not in self._done)
        )

    async def _do(self, reaction: str, due: D, do: Callable[[D], Awaitable[object]]) -> None:
        async with self._at_once:
            try:
                await do(due)
            except (PaymentUnavailable, DomainError, NotYet) as error:
                log.warning("%s of order %s is put off (%s)", reaction, due.order_id, type(error).__name__)
                await self._attempts.failed(due.order_id, reaction, f"{type(error).__name__}: {error}")
            else:
                self._done.add((reaction, due.order_id))
                await self._attempts.done(due.order_id, reaction)

    async def _refund(self, due: RefundDue) -> None:
        refund_id = await self._gateway.refund(due.charge)
        await self._marketplace.note_refund(due.order_id, due.charge, refund_id, Ask(house_cause(), _version))

    async def _cancel(self, due: IntentToCancel) -> None:
        intent = await self._gateway.cancel(due.payment_intent_id)
        if intent.charge is not None:
            # The money was faster. It completes the order, or it is due to go back: the order decides.
            await self._marketplace.take_charge(due.order_id, intent.charge, Ask(house_cause(), _version))
        elif intent.status == "canceled":
            failure = ChargeFailure(due.payment_intent_id, INTENT_CANCELED)
            await self._marketplace.note_failure(due.order_id, failure, Ask(house_cause(), _version))
        else:
            raise NotYet(f"the intent is {intent.status}")


def _version(order: Order) -> int:
    return order.version

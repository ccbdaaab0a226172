"""Payments: Stripe takes the money, the order is told. Every step is stored before the next one can cost anything.

    check_payable ─ create_intent ─ await_payment ─ confirm ─┬─ take_charge    201, or 409 when the money came too late
                                                             ├─ note_failure   402, the order stays open
                                                             └─ await_payment  201, the buyer has to act

Under an idempotency key the first step takes the key and the last one stores the answer, under the same key with a
suffix that no header can carry. A crash in between leaves the key taken without an answer; then the same request asks
Stripe what became of the intent and goes on from there, with the same attempt: charged once, whatever happened.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from aiohttp import web

from api import cards, declines, idempotency, models
from api.answers import Answer, answer
from api.calls import Call
from api.problems import Refused, problem, refusal
from api.turns import TooLong
from domain.errors import Busy, DomainError, OrderNotFound, Unavailable
from domain.marketplace import Ask
from domain.money import Money
from domain.order import COMPLETED, INTENT_CANCELED, REFUNDED, Charge, ChargeFailure, Order
from domain.ports import Intent
from domain.work import Once

RESULT = "\nresult"
"""Under key + this lies the answer of a payment. A line feed is in no header, so no client's key ends so."""

CANCELED = "canceled"
"""Stripe's status of an intent that will never take money."""


async def pay(call: Call, body: models.NewPayment) -> web.Response:
    """POST /api/payments"""
    if body.payment_method is not None:
        cards.refuse(body.payment_method, "payment_method")
    async with _turn(call, body):
        return (await _Payment(call, body).answer()).response()


@asynccontextmanager
async def _turn(call: Call, body: models.NewPayment) -> AsyncIterator[None]:
    """One request of a key, and one payment of an order at a time, within this process.

    Between processes Stripe's idempotency keys and the store keep it at one charge; this spares the detour.
    """
    turns = call.services.turns
    key = (call.user.user_id, call.key or uuid4().hex)
    try:
        async with turns.turn(key):
            try:
                async with turns.turn(body.order_id):
                    yield
            except TooLong:
                raise Busy("another payment of this order is under way") from None
    except TooLong:
        raise Refused("idempotency_in_progress", "the first request with this key is still running") from None


@dataclass(frozen=True, slots=True)
class _Begun:
    """The order may be paid: so much, by this intent if there is one already."""

    total: Money
    payment_intent_id: str | None


_Made = Callable[[Order], Answer]


class _Payment:
    """One request to pay."""

    def __init__(self, call: Call, body: models.NewPayment) -> None:
        self._call = call
        self._marketplace = call.services.marketplace
        self._gateway = call.services.gateway
        self._user_id = call.user.user_id
        self._order_id = body.order_id
        self._payment_method = body.payment_method

    async def answer(self) -> Answer:
        """Pays. Raises `DomainError`, `PaymentUnavailable`; then nothing is stored as the answer."""
        begun = await self._begin()
        if isinstance(begun, Answer):
            return begun
        try:
            return await self._go_on(begun)
        except (Busy, Unavailable):
            raise
        except DomainError as error:
            if self._call.key is None:
                raise
            return await self._refused(error)

    async def _refused(self, error: DomainError) -> Answer:
        """A refusal after the first step, when somebody else was faster: it is the key's answer like any other."""
        call = self._call
        assert call.key is not None
        refused = refusal(error, call.trace)
        encoded = idempotency.encode(refused)
        fingerprint = idempotency.fingerprint(call.request, call.raw)
        stored = await call.services.stored_answers.keep(self._user_id, call.key + RESULT, fingerprint, encoded)
        return refused if stored == encoded else idempotency.decode(stored)

    async def _go_on(self, begun: _Begun | None) -> Answer:
        if begun is None:
            done = await self._resume()
            if done is not None:
                return done
            begun = await self._marketplace.check_payable(self._order_id, self._user_id, self._call.command(_begun))
        intent = await self._intent(begun)
        if self._payment_method is None or intent.charge is not None:
            return await self._settle(intent, tried=False)
        tried = await self._gateway.confirm(intent.payment_intent_id, self._payment_method, self._attempt())
        return await self._settle(tried, tried=True)

    async def _begin(self) -> _Begun | Answer | None:
        """Looks whether the order may be paid and takes the key; None: the key was taken before, for this request."""
        ask: Ask[Order, _Begun | Answer | None] = Ask(self._call.cause(), _begun)
        if self._call.key is not None:
            trace = self._call.trace
            once: Once[_Begun | Answer | None] = Once(
                scope=self._user_id,
                key=self._call.key,
                fingerprint=idempotency.fingerprint(self._call.request, self._call.raw),
                encode=lambda step: idempotency.encode(step) if isinstance(step, Answer) else b"",
                decode=lambda stored: idempotency.decode(stored) if stored else None,
                refusal=lambda error: refusal(error, trace),
            )
            ask = Ask(ask.cause, _begun, once)
        return await self._marketplace.check_payable(self._order_id, self._user_id, ask)

    async def _resume(self) -> Answer | None:
        """What an earlier request with this key came to; None: nothing yet, go on."""
        assert self._call.key is not None
        stored = await self._call.services.stored_answers.find(self._user_id, self._call.key + RESULT)
        if stored is not None:
            return idempotency.decode(stored)
        order = await self._call.services.log.aggregate(Order, self._order_id)
        if order is None:
            raise OrderNotFound(f"there is no order {self._order_id}")
        if order.payment_intent_id is None:
            return None
        intent = await self._gateway.fetch(order.payment_intent_id)
        return None if intent.charge is None else await self._settle(intent, tried=True)

    async def _intent(self, begun: _Begun) -> Intent:
        """The order's intent, of which the order knows by the time it is returned."""
        if begun.payment_intent_id is not None:
            return await self._gateway.fetch(begun.payment_intent_id)
        intent = await self._gateway.create_intent(self._order_id, begun.total)
        await self._marketplace.await_payment(
            self._order_id, intent.payment_intent_id, self._call.command(lambda _: None)
        )
        return intent

    async def _settle(self, intent: Intent, *, tried: bool) -> Answer:
        """The last command: what came of it is stored with the answer."""
        if intent.charge is not None:
            charge = intent.charge
            ask = self._last(lambda order: self._charged(order, intent, charge))
            return await self._marketplace.take_charge(self._order_id, charge, ask)
        if intent.status == CANCELED:
            failure = ChargeFailure(intent.payment_intent_id, INTENT_CANCELED)
            ask = self._last(lambda _: self._not_open("its payment was closed"))
            return await self._marketplace.note_failure(self._order_id, failure, ask)
        if tried and intent.failure is not None:
            declined = intent.failure
            ask = self._last(lambda _: self._declined(declined))
            return await self._marketplace.note_failure(self._order_id, declined, ask)
        ask = self._last(lambda order: answer(201, self._payment(order, intent, None)))
        return await self._marketplace.await_payment(self._order_id, intent.payment_intent_id, ask)

    def _last(self, made: _Made) -> Ask[Order, Answer]:
        call = self._call
        if call.key is None:
            return Ask(call.cause(), made)
        once = idempotency.once(self._user_id, call.key + RESULT, call.request, call.raw, call.trace)
        return Ask(call.cause(), made, once)

    def _attempt(self) -> str:
        """Stripe's idempotency key for this try: the same for the same key of ours, else a new one."""
        if self._call.key is None:
            return f"order-{self._order_id}-attempt-{uuid4().hex}"
        digest = hashlib.sha256(f"{self._user_id}\n{self._call.key}".encode()).hexdigest()
        return f"order-{self._order_id}-attempt-{digest[:32]}"

    def _charged(self, order: Order, intent: Intent, charge: Charge) -> Answer:
        if order.status in (COMPLETED, REFUNDED) and order.charge_id == charge.charge_id:
            return answer(201, self._payment(order, intent, charge.charge_id))
        return self._not_open(f"the order is {order.status}; the money came too late and goes back")

    def _payment(self, order: Order, intent: Intent, charge_id: str | None) -> models.Payment:
        return models.Payment(order.id, intent.status, intent.payment_intent_id, charge_id, intent.client_secret)

    def _declined(self, failure: ChargeFailure) -> Answer:
        reason, code = failure.decline_code or failure.code, declines.code_of(failure)
        return problem(code, declines.advice_for(code), self._call.trace, decline_code=reason)

    def _not_open(self, detail: str) -> Answer:
        return problem("order_not_open", detail, self._call.trace)


def _begun(order: Order) -> _Begun:
    return _Begun(order.total, order.payment_intent_id)

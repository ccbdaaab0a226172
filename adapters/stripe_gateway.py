"""Stripe, or a server that speaks its API, as `domain.ports.PaymentGateway`, `PayoutGateway` and `PaymentBooks`.

Every request that has an effect carries an idempotency key that is derived from what it is for, so that however often
a step is repeated, after whatever crash, Stripe does it once: `order-<id>-intent`, the caller's attempt,
`order-<id>-refund-<number>-<tries>`, `order-<id>-transfer-<number>`, `order-<id>-reversal-<number>`,
`account-<user id>`. What Stripe has refused is asked for again under another one (`adapters/stripe_client.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any
from uuid import UUID

import stripe

from adapters.stripe_amounts import to_stripe
from adapters.stripe_books import StripeBooks
from adapters.stripe_client import checked, path, read, unavailable
from adapters.stripe_objects import (
    ChargeObject,
    DeclineAnswer,
    PaymentIntent,
    to_failure,
    to_intent,
)
from adapters.stripe_payouts import StripePayouts
from adapters.stripe_refunds import StripeRefunds
from domain.errors import Invalid
from domain.money import Money
from domain.order import Settlement
from domain.ports import Intent

_NOT_THIS_MONEY = ("amount_too_small", "amount_too_large")
"""docs.stripe.com/error-codes"""

_SETTLED = "latest_charge.balance_transaction"
"""Comes with an intent that was paid: what Stripe keeps of it, without another request."""


class StripeGateway(StripeRefunds, StripePayouts, StripeBooks):
    """All three ports by one client. Used on one event loop; `close` gives its connections back."""

    async def create_intent(self, order_id: UUID, total: Money) -> Intent:
        """See `domain.ports.PaymentGateway`. The order's id goes into the metadata, by which webhooks find it again.

        Raises:
            Invalid: Stripe takes no such amount or no such currency for this house.
        """
        parameters: dict[str, Any] = {
            "amount": to_stripe(total),
            "currency": total.currency.lower(),
            "payment_method_types": ["card"],
            "metadata": {"order_id": str(order_id)},
        }
        try:
            return await self._intent(self._post("payment_intents", parameters, f"order-{order_id}-intent"))
        except stripe.InvalidRequestError as error:
            if error.param in ("amount", "currency") or error.code in _NOT_THIS_MONEY:
                raise Invalid("order_id", f"no card can be charged {total}") from error
            raise unavailable(error) from error

    async def confirm(self, payment_intent_id: str, payment_method: str, attempt: str) -> Intent:
        """See `domain.ports.PaymentGateway`; an intent that cannot be confirmed any more comes back as it is.

        Raises:
            Invalid: Stripe does not know the payment method, or not as one that can be used.
        """
        confirm = path("payment_intents", payment_intent_id, "confirm")
        try:
            return await self._intent(
                self._post(confirm, {"payment_method": payment_method, "expand": [_SETTLED]}, attempt)
            )
        except stripe.CardError as error:
            return await self._declined(payment_intent_id, error)
        except stripe.InvalidRequestError as error:
            if _is_unexpected_state(error):
                return await self.fetch(payment_intent_id)
            if error.param == "payment_method":
                raise Invalid("payment_method", "no such payment method, or not one that can be used here") from error
            raise unavailable(error) from error

    async def fetch(self, payment_intent_id: str) -> Intent:
        """See `domain.ports.PaymentGateway`."""
        return _known(await self._retrieve(payment_intent_id))

    async def cancel(self, payment_intent_id: str) -> Intent:
        """See `domain.ports.PaymentGateway`."""
        try:
            return await self._intent(self._post(path("payment_intents", payment_intent_id, "cancel")))
        except stripe.InvalidRequestError as error:
            if _is_unexpected_state(error):
                return await self.fetch(payment_intent_id)
            raise unavailable(error) from error

    async def settlement(self, charge_id: str) -> Settlement | None:
        """See `domain.ports.PaymentGateway`."""
        retrieve = self._get(path("charges", charge_id), {"expand": ["balance_transaction"]})
        return (await self._ask(retrieve, ChargeObject)).settlement()

    async def order_of(self, payment_intent_id: str) -> UUID | None:
        """Which order an intent is of; None when it is not of this house.

        Raises:
            PaymentUnavailable: see `domain.ports.PaymentGateway`.
        """
        return (await self._retrieve(payment_intent_id)).order_id()

    async def _retrieve(self, payment_intent_id: str) -> PaymentIntent:
        retrieve = self._get(path("payment_intents", payment_intent_id), {"expand": [_SETTLED]})
        return await self._ask(retrieve, PaymentIntent)

    async def _intent(self, call: Awaitable[Any]) -> Intent:
        return _known(read(await self._call(call), PaymentIntent))

    async def _declined(self, payment_intent_id: str, error: stripe.CardError) -> Intent:
        """The intent as a refused charge left it, with the reason."""
        decline = read(error.json_body, DeclineAnswer).error
        intent = decline.payment_intent or await self._retrieve(payment_intent_id)
        return replace(_known(intent), failure=to_failure(payment_intent_id, decline))


def _known(intent: PaymentIntent) -> Intent:
    return checked(lambda: to_intent(intent))


def _is_unexpected_state(error: stripe.InvalidRequestError) -> bool:
    return error.code == "payment_intent_unexpected_state"

"""Stripe, or a server that speaks its API, as `domain.ports.PaymentGateway`.

Every request that has an effect carries an idempotency key that is derived from what it is for, so that however often
a step is repeated, after whatever crash, Stripe does it once: `order-<id>-intent`, the caller's attempt,
`refund-<charge id>`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar, cast
from uuid import UUID

import aiohttp
import msgspec
import stripe

from adapters.settings import Settings, required
from adapters.stripe_amounts import to_stripe
from adapters.stripe_objects import DeclineAnswer, PaymentIntent, to_failure, to_intent
from domain.errors import Invalid
from domain.money import Money
from domain.order import Charge
from domain.ports import Intent, PaymentUnavailable

log = logging.getLogger(__name__)

API_VERSION = "2026-07-29.dahlia"
"""Pinned, whatever the account's or the package's default is. From 2026-09-30.endive on Stripe refuses
`payment_method_types` (docs.stripe.com/changelog/endive/2026-09-30); its successor, `allowed_payment_method_types`, is
not known to the sandbox and to localstripe. This version is understood by all of them."""

TRY_SECONDS = 10.0
"""One try of one request: a card's bank may take several seconds."""
MAX_RETRIES = 1
"""After a broken connection, a conflict or a 5xx; the caller's retry with the same key takes it from there."""
CALL_SECONDS = 25.0
"""One call with its retries: under the half minute for which clients commonly wait."""
_LIVE_KEYS = ("sk_live_", "rk_live_")
"""docs.stripe.com/keys"""

_NOT_THIS_MONEY = ("amount_too_small", "amount_too_large")
"""docs.stripe.com/error-codes"""

T = TypeVar("T")


class StripeGateway:
    """`domain.ports.PaymentGateway`. Used on one event loop; `close` gives its connections back."""

    def __init__(self, settings: Settings) -> None:
        """Needs `stripe_secret_key`; `stripe_api_base` None means Stripe itself. Raises `SettingsError`."""
        key = required(settings.stripe_secret_key, "STRIPE_SECRET_KEY")
        self.takes_real_money = key.startswith(_LIVE_KEYS)
        # It opens its connections with the first call, and trusts the authorities that come with the package.
        self._http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=TRY_SECONDS))
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": settings.stripe_api_base.rstrip("/")} if settings.stripe_api_base else {},
            stripe_version=API_VERSION,
            max_network_retries=MAX_RETRIES,
            http_client=self._http,
        )

    async def close(self) -> None:
        """Closes the connections; no call may follow."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

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
        # The package's types are those of a later version than the pinned one.
        create = cast("Callable[..., Awaitable[stripe.PaymentIntent]]", self._client.v1.payment_intents.create_async)
        try:
            return await self._intent(create(parameters, {"idempotency_key": f"order-{order_id}-intent"}))
        except stripe.InvalidRequestError as error:
            if error.param in ("amount", "currency") or error.code in _NOT_THIS_MONEY:
                raise Invalid("order_id", f"no card can be charged {total}") from error
            raise _unavailable(error) from error

    async def confirm(self, payment_intent_id: str, payment_method: str, attempt: str) -> Intent:
        """See `domain.ports.PaymentGateway`; an intent that cannot be confirmed any more comes back as it is.

        Raises:
            Invalid: Stripe does not know the payment method, or not as one that can be used.
        """
        try:
            return await self._intent(
                self._client.v1.payment_intents.confirm_async(
                    payment_intent_id, {"payment_method": payment_method}, {"idempotency_key": attempt}
                )
            )
        except stripe.CardError as error:
            return await self._declined(payment_intent_id, error)
        except stripe.InvalidRequestError as error:
            if _is_unexpected_state(error):
                return await self.fetch(payment_intent_id)
            if error.param == "payment_method":
                raise Invalid("payment_method", "no such payment method, or not one that can be used here") from error
            raise _unavailable(error) from error

    async def fetch(self, payment_intent_id: str) -> Intent:
        """See `domain.ports.PaymentGateway`."""
        return _known(await self._retrieve(payment_intent_id))

    async def cancel(self, payment_intent_id: str) -> Intent:
        """See `domain.ports.PaymentGateway`."""
        try:
            return await self._intent(self._client.v1.payment_intents.cancel_async(payment_intent_id))
        except stripe.InvalidRequestError as error:
            if _is_unexpected_state(error):
                return await self.fetch(payment_intent_id)
            raise _unavailable(error) from error

    async def refund(self, charge: Charge) -> str:
        """See `domain.ports.PaymentGateway`. Stripe forgets keys after a day; an older refund is looked up."""
        refunds = self._client.v1.refunds
        try:
            refund = await self._call(
                refunds.create_async({"charge": charge.charge_id}, {"idempotency_key": f"refund-{charge.charge_id}"})
            )
        except stripe.InvalidRequestError as error:
            if error.code != "charge_already_refunded":
                raise _unavailable(error) from error
            made = await self._call(refunds.list_async({"charge": charge.charge_id, "limit": 1}))
            if not made.data:
                raise _unavailable(error) from error
            refund = made.data[0]
        return refund.id

    async def paid_order(self, payment_intent_id: str) -> tuple[UUID, Money] | None:
        """Which order an intent is of, and the money it took; None when it is not of this house.

        Raises:
            PaymentUnavailable: see `domain.ports.PaymentGateway`.
        """
        intent = await self._retrieve(payment_intent_id)
        order_id = intent.order_id()
        return None if order_id is None else (order_id, _money(intent))

    async def _retrieve(self, payment_intent_id: str) -> PaymentIntent:
        try:
            found = await self._call(self._client.v1.payment_intents.retrieve_async(payment_intent_id))
        except stripe.InvalidRequestError as error:
            raise _unavailable(error) from error
        return _read(found.to_dict(), PaymentIntent)

    async def _intent(self, call: Awaitable[stripe.PaymentIntent]) -> Intent:
        return _known(_read((await self._call(call)).to_dict(), PaymentIntent))

    async def _declined(self, payment_intent_id: str, error: stripe.CardError) -> Intent:
        """The intent as a refused charge left it, with the reason."""
        decline = _read(error.json_body, DeclineAnswer).error
        intent = decline.payment_intent or await self._retrieve(payment_intent_id)
        return replace(_known(intent), failure=to_failure(payment_intent_id, decline))

    async def _call(self, call: Awaitable[T]) -> T:
        """Waits for an answer, within bounds; what Stripe says of the request itself is passed on as it is."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await call
        except (stripe.CardError, stripe.InvalidRequestError):
            raise
        except (stripe.StripeError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unavailable(error) from error


def _read(answer: object, shape: type[T]) -> T:
    try:
        return msgspec.convert(answer, shape)
    except msgspec.ValidationError as error:
        raise _unavailable(error) from error


def _known(intent: PaymentIntent) -> Intent:
    try:
        return to_intent(intent)
    except msgspec.ValidationError as error:
        raise _unavailable(error) from error


def _money(intent: PaymentIntent) -> Money:
    try:
        return intent.money()
    except msgspec.ValidationError as error:
        raise _unavailable(error) from error


def _is_unexpected_state(error: stripe.InvalidRequestError) -> bool:
    return error.code == "payment_intent_unexpected_state"


def _unavailable(error: Exception) -> PaymentUnavailable:
    """What the buyer cannot help. The log gets Stripe's request id and code, never the text: it may carry data."""
    code = getattr(error, "code", None)
    log.warning("Stripe: %s, code %s, request %s", type(error).__name__, code, getattr(error, "request_id", None))
    return PaymentUnavailable("the payment provider did not take the request")

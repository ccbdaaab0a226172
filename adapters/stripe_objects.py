"""The part of Stripe's objects that is read here, from answers and from webhooks alike; other fields are ignored."""

from __future__ import annotations

from uuid import UUID

import msgspec

from adapters.stripe_amounts import from_stripe
from domain.money import Money
from domain.order import Charge, ChargeFailure
from domain.ports import Intent

SUCCEEDED = "succeeded"


class Reference(msgspec.Struct):
    """An object that stands where its id could stand (`expand`)."""

    id: str


class PaymentError(msgspec.Struct):
    """`last_payment_error`: why the last try took no money."""

    code: str | None = None
    decline_code: str | None = None
    charge: str | None = None
    type: str | None = None


class PaymentIntent(msgspec.Struct):
    """docs.stripe.com/api/payment_intents/object; amounts as Stripe counts them, `currency` in lower case."""

    id: str
    status: str
    amount: int
    currency: str
    client_secret: str | None = None
    amount_received: int | None = None
    latest_charge: str | Reference | None = None
    last_payment_error: PaymentError | None = None
    metadata: dict[str, str] = {}

    def money(self) -> Money:
        """What was taken, not what was asked for. Raises `msgspec.ValidationError`."""
        amount = self.amount if self.amount_received is None else self.amount_received
        return from_stripe(amount, self.currency)

    def charge_id(self) -> str | None:
        """The newest charge, good or refused."""
        return self.latest_charge.id if isinstance(self.latest_charge, Reference) else self.latest_charge

    def order_id(self) -> UUID | None:
        """The order it was made for; None when it is not of this house."""
        try:
            return UUID(self.metadata.get("order_id", ""))
        except ValueError:
            return None


class Decline(PaymentError):
    """The error object of a 402 (docs.stripe.com/api/errors): why, and the intent it leaves behind."""

    payment_intent: PaymentIntent | None = None


class DeclineAnswer(msgspec.Struct):
    """The body of a 402."""

    error: Decline


class Refund(msgspec.Struct):
    """docs.stripe.com/api/refunds/object"""

    id: str
    amount: int
    currency: str
    status: str | None = None
    charge: str | Reference | None = None
    payment_intent: str | Reference | None = None


def to_intent(intent: PaymentIntent) -> Intent:
    """The intent as the domain knows it. Raises `msgspec.ValidationError` for money that is none."""
    charge_id = intent.charge_id()
    charge = failure = None
    if intent.status == SUCCEEDED and charge_id is not None:
        charge = Charge(intent.id, charge_id, intent.money())
    elif intent.last_payment_error is not None:
        failure = to_failure(intent.id, intent.last_payment_error)
    return Intent(intent.id, intent.status, intent.client_secret or "", charge, failure)


def to_failure(payment_intent_id: str, error: PaymentError) -> ChargeFailure:
    """Why a charge was refused."""
    code = error.code or error.type or "unknown"
    return ChargeFailure(payment_intent_id, code, error.decline_code, error.charge)


def id_of(reference: str | Reference | None) -> str | None:
    """The id, whether the object was expanded or not."""
    return reference.id if isinstance(reference, Reference) else reference

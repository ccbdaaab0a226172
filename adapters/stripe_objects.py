"""The part of Stripe's objects that is read here, from answers and from webhooks alike; other fields are ignored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from adapters.stripe_amounts import from_stripe
from domain.money import Money
from domain.order import Charge, ChargeFailure, Settlement
from domain.order_refunds import RefundMade
from domain.ports import BookedCharge, BookedRefund, Intent, OnboardingLink
from domain.user import PayoutAccount

SUCCEEDED, PENDING = "succeeded", "pending"

REFUND_FAILED = ("failed", "canceled")
"""docs.stripe.com/api/refunds/object: states in which the money is not the buyer's, and never will be."""


class Reference(msgspec.Struct):
    """An object that stands where its id could stand (`expand`)."""

    id: str


class Tagged(msgspec.Struct):
    """Whatever can be given metadata, here those by which it is found again."""

    id: str
    metadata: dict[str, str] | None = None

    def tag(self, name: str) -> str:
        """What the metadata say; nothing, when they do not."""
        return (self.metadata or {}).get(name, "")

    def uuid(self, name: str) -> UUID | None:
        """An id of this house's; None when there is none."""
        try:
            return UUID(self.tag(name))
        except ValueError:
            return None

    def whole_number(self, name: str) -> int | None:
        """A count of this house's; None when there is none."""
        text = self.tag(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


_DIGITS = 9
"""More than an order's refunds and tries ever have."""


class BalanceTransaction(msgspec.Struct):
    """docs.stripe.com/api/balance_transactions/object; in the currency of the house's balance."""

    id: str
    amount: int
    currency: str
    fee: int
    net: int

    def settlement(self) -> Settlement:
        """Raises `msgspec.ValidationError`."""
        return Settlement(self.id, from_stripe(self.fee, self.currency), from_stripe(self.net, self.currency))


class ChargeObject(Tagged, kw_only=True):
    """docs.stripe.com/api/charges/object"""

    status: str
    amount: int
    currency: str
    created: int
    payment_intent: str | Reference | None = None
    balance_transaction: str | BalanceTransaction | None = None

    def settlement(self) -> Settlement | None:
        """Where the balance transaction came with it, and is understood: without it a charge is one all the same."""
        booked = self.balance_transaction
        try:
            return booked.settlement() if isinstance(booked, BalanceTransaction) else None
        except msgspec.ValidationError:
            return None

    def booked(self) -> BookedCharge:
        """Raises `msgspec.ValidationError`."""
        money = from_stripe(self.amount, self.currency)
        charge = Charge(id_of(self.payment_intent) or "", self.id, money, self.settlement())
        return BookedCharge(self.uuid("order_id"), charge, at(self.created))


class PaymentError(msgspec.Struct):
    """`last_payment_error`: why the last try took no money."""

    code: str | None = None
    decline_code: str | None = None
    charge: str | None = None
    type: str | None = None


class PaymentIntent(Tagged, kw_only=True):
    """docs.stripe.com/api/payment_intents/object; amounts as Stripe counts them, `currency` in lower case."""

    status: str
    amount: int
    currency: str
    client_secret: str | None = None
    amount_received: int | None = None
    latest_charge: str | ChargeObject | None = None
    last_payment_error: PaymentError | None = None

    def money(self) -> Money:
        """What was taken, not what was asked for. Raises `msgspec.ValidationError`."""
        amount = self.amount if self.amount_received is None else self.amount_received
        return from_stripe(amount, self.currency)

    def charge_id(self) -> str | None:
        """The newest charge, good or refused."""
        return self.latest_charge.id if isinstance(self.latest_charge, ChargeObject) else self.latest_charge

    def order_id(self) -> UUID | None:
        """The order it was made for; None when it is not of this house."""
        return self.uuid("order_id")

    def settlement(self) -> Settlement | None:
        """Of the newest charge, where it came with it."""
        return self.latest_charge.settlement() if isinstance(self.latest_charge, ChargeObject) else None


class Decline(PaymentError):
    """The error object of a 402 (docs.stripe.com/api/errors): why, and the intent it leaves behind."""

    payment_intent: PaymentIntent | None = None


class DeclineAnswer(msgspec.Struct):
    """The body of a 402."""

    error: Decline


class RefundObject(Tagged, kw_only=True):
    """docs.stripe.com/api/refunds/object"""

    amount: int
    currency: str
    status: str | None = None
    created: int = 0
    charge: str | Reference | None = None
    payment_intent: str | Reference | None = None

    def has_failed(self) -> bool:
        return self.status in REFUND_FAILED

    def made(self, order_id: UUID | None) -> RefundMade:
        """The refund as the domain knows it; its number is good for the order that its metadata name.

        Args:
            order_id: whose it is; None: whosever it says.

        Raises:
            msgspec.ValidationError: money that is none, or of no charge.
        """
        charge_id = id_of(self.charge)
        if charge_id is None:
            raise msgspec.ValidationError("the refund names no charge")
        named = self.uuid("order_id")
        number = self.whole_number("refund") if named is not None and order_id in (None, named) else None
        tries = self.whole_number("tries") or 0 if number is not None else 0
        return RefundMade(self.id, charge_id, from_stripe(self.amount, self.currency), number, tries)

    def booked(self) -> BookedRefund:
        """Raises `msgspec.ValidationError`."""
        return BookedRefund(
            self.uuid("order_id"), self.made(None), id_of(self.payment_intent), self.has_failed(), at(self.created)
        )


class AccountObject(Tagged):
    """docs.stripe.com/api/accounts/object"""

    capabilities: dict[str, Any] = {}
    payouts_enabled: bool = False
    details_submitted: bool = False

    def account(self) -> PayoutAccount:
        enabled = self.capabilities.get("transfers") == "active"
        return PayoutAccount(self.id, enabled, self.payouts_enabled, self.details_submitted)


class AccountLinkObject(msgspec.Struct):
    """docs.stripe.com/api/account_links/object"""

    url: str
    expires_at: int

    def link(self) -> OnboardingLink:
        """Raises `msgspec.ValidationError`."""
        return OnboardingLink(self.url, at(self.expires_at))


def to_intent(intent: PaymentIntent) -> Intent:
    """The intent as the domain knows it. Raises `msgspec.ValidationError` for money that is none."""
    charge_id = intent.charge_id()
    charge = failure = None
    if intent.status == SUCCEEDED and charge_id is not None:
        charge = Charge(intent.id, charge_id, intent.money(), intent.settlement())
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


def at(seconds: int) -> datetime:
    """A time as Stripe writes it: Unix seconds. Raises `msgspec.ValidationError`."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise msgspec.ValidationError("no such time") from error

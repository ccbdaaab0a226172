"""What Stripe's webhooks say: the signature first, then the few events that matter here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from adapters import stripe_signature
from adapters.stripe_disputes import DisputeObject
from adapters.stripe_objects import (
    PENDING,
    REFUND_FAILED,
    SUCCEEDED,
    AccountObject,
    PaymentIntent,
    RefundObject,
    id_of,
    to_failure,
    to_intent,
)
from domain.order import INTENT_CANCELED, Charge, ChargeFailure
from domain.order_disputes import DisputeWord
from domain.order_refunds import RefundMade

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChargeSucceeded:
    """`payment_intent.succeeded`: money was taken for the order."""

    order_id: UUID
    charge: Charge


@dataclass(frozen=True, slots=True)
class ChargeRefused:
    """`payment_intent.payment_failed`, or `payment_intent.canceled` with the code `INTENT_CANCELED`."""

    order_id: UUID
    failure: ChargeFailure


@dataclass(frozen=True, slots=True)
class RefundTold:
    """`refund.*`: how a refund stands. Stripe names the intent, not the order; the intent's metadata does."""

    payment_intent_id: str
    refund: RefundObject

    @property
    def failed(self) -> bool:
        """The money is not the buyer's, and never will be by this refund."""
        return self.refund.has_failed()

    def made(self, order_id: UUID) -> RefundMade:
        """The refund, numbered if it is that order's own. Raises `msgspec.ValidationError`."""
        return self.refund.made(order_id)


@dataclass(frozen=True, slots=True)
class DisputeTold:
    """`charge.dispute.*`: how a dispute stands."""

    payment_intent_id: str
    word: DisputeWord


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """`account.updated` of a seller's account: how it stands now is to be asked."""

    user_id: UUID
    account_id: str


WebhookFact = ChargeSucceeded | ChargeRefused | RefundTold | DisputeTold | AccountChanged


class _Data(msgspec.Struct):
    object: msgspec.Raw


class _Event(msgspec.Struct):
    id: str
    type: str
    data: _Data
    account: str | None = None
    """The connected account an event is of: a seller's."""
    livemode: bool | None = None
    """Whether it is about real money. Stripe always says so."""


_event = msgspec.json.Decoder(_Event)
_intent = msgspec.json.Decoder(PaymentIntent)
_refund = msgspec.json.Decoder(RefundObject)
_dispute = msgspec.json.Decoder(DisputeObject)
_account = msgspec.json.Decoder(AccountObject)

ACCOUNT_UPDATED = "account.updated"
_PAYMENT_EVENTS = ("payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled")
_REFUND_EVENTS = ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated")
"""`charge.refunded` names no refund since Stripe's version 2022-11-15; one of these always comes with it."""
_DISPUTE_EVENTS = (
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "charge.dispute.closed",
)
EVENTS = (*_PAYMENT_EVENTS, *_REFUND_EVENTS, *_DISPUTE_EVENTS, ACCOUNT_UPDATED)
"""What an endpoint is to be sent; anything else is a request for nothing."""


def parse_webhook(raw: bytes, signature: str, secrets: Sequence[str], *, live: bool) -> WebhookFact | None:
    """What an event says; None when it is of no concern here.

    Args:
        raw: the body as it came.
        signature: the `Stripe-Signature` header.
        secrets: those that are good now; two while one is being replaced.
        live: whether this house takes real money; what is said of the other kind is not heard.

    Raises:
        stripe_signature.BadSignature: see there.
    """
    stripe_signature.check(raw, signature, secrets)
    try:
        event = _event.decode(raw)
        return _fact(event) if _is_ours(event, live) else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Signed by Stripe and yet not understood: asking for it again would not help, a person must look.
        log.error("a signed webhook cannot be read: %s", error)
        return None


def _is_ours(event: _Event, live: bool) -> bool:
    """Whether it is of this house's own account, or of what a seller's says of itself; and of its kind of money."""
    known = event.account is None or event.type == ACCOUNT_UPDATED
    if known and event.livemode in (None, live):
        return True
    log.warning("the webhook %r is of another account, or not of %s money", event.id, "real" if live else "test")
    return False


def _fact(event: _Event) -> WebhookFact | None:
    if event.type == ACCOUNT_UPDATED:
        return _account_fact(event.account, _account.decode(event.data.object))
    if event.type in _REFUND_EVENTS:
        return _refund_fact(_refund.decode(event.data.object))
    if event.type in _DISPUTE_EVENTS:
        return _dispute_fact(event.type, _dispute.decode(event.data.object))
    if event.type in _PAYMENT_EVENTS:
        return _intent_fact(event.type, _intent.decode(event.data.object))
    return None


def _intent_fact(event_type: str, intent: PaymentIntent) -> WebhookFact | None:
    order_id = intent.order_id()
    if order_id is None:
        return None
    if event_type == "payment_intent.succeeded":
        charge = to_intent(intent).charge
        return None if charge is None else ChargeSucceeded(order_id, charge)
    if event_type == "payment_intent.payment_failed" and intent.last_payment_error is not None:
        return ChargeRefused(order_id, to_failure(intent.id, intent.last_payment_error))
    if event_type == "payment_intent.canceled":
        return ChargeRefused(order_id, ChargeFailure(intent.id, INTENT_CANCELED))
    return None


def _refund_fact(refund: RefundObject) -> RefundTold | None:
    payment_intent_id = id_of(refund.payment_intent)
    if payment_intent_id is None or refund.status not in (SUCCEEDED, PENDING, *REFUND_FAILED):
        return None
    refund.made(None)
    return RefundTold(payment_intent_id, refund)


def _dispute_fact(event_type: str, dispute: DisputeObject) -> DisputeTold | None:
    payment_intent_id = id_of(dispute.payment_intent)
    return None if payment_intent_id is None else DisputeTold(payment_intent_id, dispute.word(event_type))


def _account_fact(of: str | None, account: AccountObject) -> AccountChanged | None:
    """The account an event is of is the one it tells of; the house's own is of no concern."""
    user_id = account.uuid("user_id")
    return None if user_id is None or of != account.id else AccountChanged(user_id, account.id)

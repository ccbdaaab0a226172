"""What Stripe's webhooks say: the signature first, then the few events that matter here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from adapters import stripe_signature
from adapters.stripe_amounts import from_stripe
from adapters.stripe_objects import SUCCEEDED, PaymentIntent, Refund, id_of, to_failure, to_intent
from domain.money import Money
from domain.order import INTENT_CANCELED, Charge, ChargeFailure

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
class RefundMade:
    """`refund.created`: money went back. Stripe names the intent, not the order; the intent's metadata does."""

    refund_id: str
    payment_intent_id: str
    charge_id: str
    money: Money


WebhookFact = ChargeSucceeded | ChargeRefused | RefundMade


class _Data(msgspec.Struct):
    object: msgspec.Raw


class _Event(msgspec.Struct):
    id: str
    type: str
    data: _Data
    account: str | None = None
    """The connected account an event is of; this house has none."""
    livemode: bool | None = None
    """Whether it is about real money. Stripe always says so."""


_event = msgspec.json.Decoder(_Event)
_intent = msgspec.json.Decoder(PaymentIntent)
_refund = msgspec.json.Decoder(Refund)


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
        return _fact(event.type, event.data.object) if _is_ours(event, live) else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Signed by Stripe and yet not understood: asking for it again would not help, a person must look.
        log.error("a signed webhook cannot be read: %s", error)
        return None


def _is_ours(event: _Event, live: bool) -> bool:
    """Whether it is of this house's own account, and of its kind of money."""
    if event.account is None and event.livemode in (None, live):
        return True
    log.warning("the webhook %r is of another account, or not of %s money", event.id, "real" if live else "test")
    return False


def _fact(event_type: str, raw: msgspec.Raw) -> WebhookFact | None:
    if event_type == "refund.created":
        return _refund_fact(_refund.decode(raw))
    if event_type.startswith("payment_intent."):
        return _intent_fact(event_type, _intent.decode(raw))
    # `charge.refunded` names no refund since Stripe's version 2022-11-15; `refund.created` always comes with it.
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


def _refund_fact(refund: Refund) -> RefundMade | None:
    charge_id, payment_intent_id = id_of(refund.charge), id_of(refund.payment_intent)
    if charge_id is None or payment_intent_id is None or refund.status not in (SUCCEEDED, "pending"):
        return None
    return RefundMade(refund.id, payment_intent_id, charge_id, from_stripe(refund.amount, refund.currency))

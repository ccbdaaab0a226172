"""Attempts to pay a PaymentIntent: confirm, 3-D Secure, charge or decline.

requires_payment_method ─┐                        ┌─> succeeded
requires_confirmation  ──┼─ confirm ─┬────────────┴─> requires_payment_method (declined: another try may follow)
requires_action  ────────┘           └─> requires_action ── the buyer authenticates ──> either of these two
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox import objects
from sandbox.calls import Call
from sandbox.cards import AUTHENTICATION_REQUIRED, CARDS, Decline
from sandbox.charges import charge_card
from sandbox.errors import INVALID_REQUEST, card_error, unexpected_state
from sandbox.payment_methods import resolve_parameter
from sandbox.store import Record

OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
"""Statuses in which an intent can be confirmed or canceled."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The parameters of a confirm, whether it is a call of its own or `confirm=true` on create."""

    payment_method: str | None
    return_url: str | None
    may_authenticate: bool
    """False when nobody is there to pass 3-D Secure: then such a card is declined."""
    by_sdk: bool
    """Stripe's SDK in the page handles the next action, so no redirect is wanted."""

    @classmethod
    def read(cls, call: Call) -> Confirmation:
        parameters = call.parameters
        off_session = parameters.boolean("off_session")
        error_on_requires_action = parameters.boolean("error_on_requires_action")
        return cls(
            payment_method=parameters.text("payment_method"),
            return_url=parameters.text("return_url"),
            may_authenticate=not (off_session or error_on_requires_action),
            by_sdk=parameters.boolean("use_stripe_sdk"),
        )


def move(call: Call, intent: Record, status: str) -> None:
    """Changes the status and the running totals."""
    call.store.count(f"status.{intent['status']}", -1)
    call.store.count(f"status.{status}")
    intent["status"] = status


def confirm(call: Call, intent: Record, confirmation: Confirmation) -> None:
    """One attempt with the given payment method, or the one on the intent.

    Raises StripeError: 402 when the card is declined (the intent is then updated all the same), 400 when the intent's
    state forbids it.
    """
    if intent["status"] not in OPEN:
        raise unexpected_state(
            f"This PaymentIntent cannot be confirmed: its status is already {intent['status']}.",
            objects.payment_intent(intent, public=call.public),
        )
    wanted = confirmation.payment_method or intent.get("payment_method")
    if wanted is None:
        raise unexpected_state(
            "This PaymentIntent cannot be confirmed: it has no payment method, and none was sent.",
            objects.payment_intent(intent, public=call.public),
        )
    payment_method = resolve_parameter(call, wanted)
    intent |= {"payment_method": payment_method["id"], "last_payment_error": None, "next_action": None}
    card = CARDS[payment_method["card"]]
    if not card.needs_authentication:
        _settle(call, intent, payment_method, card.decline)
    elif confirmation.may_authenticate:
        _ask_for_authentication(call, intent, confirmation)
    else:
        _settle(call, intent, payment_method, AUTHENTICATION_REQUIRED)
    if intent["last_payment_error"] is not None:
        raise card_error(intent["last_payment_error"], objects.payment_intent(intent, public=call.public))


def authenticate(call: Call, intent: Record, *, passed: bool) -> None:
    """What the buyer did on the 3-D Secure page. The intent must be in `requires_action`; raises StripeError if not."""
    if intent["status"] != "requires_action":
        raise unexpected_state(
            f"There is nothing to authenticate: the status is {intent['status']}.", objects.payment_intent(intent)
        )
    payment_method = resolve_parameter(call, intent["payment_method"])
    intent["next_action"] = None
    if passed:
        _settle(call, intent, payment_method, CARDS[payment_method["card"]].decline)
        return
    code = "payment_intent_authentication_failure"
    _fail(
        call,
        intent,
        {
            "code": code,
            "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
            "message": "The buyer did not pass authentication. Confirm again with this or another payment method.",
            "payment_method": objects.payment_method(payment_method),
            "type": INVALID_REQUEST,
        },
    )


def _settle(call: Call, intent: Record, payment_method: Record, decline: Decline | None) -> None:
    """The bank's answer: the money is taken, or the attempt has failed."""
    charge = charge_card(call, intent, payment_method, decline)
    intent["latest_charge"] = charge["id"]
    if decline is None:
        intent["amount_received"] = intent["amount"]
        move(call, intent, "succeeded")
        call.store.update("payment_intents", intent)
        call.happened("payment_intent.succeeded", objects.payment_intent(intent))
        return
    _fail(
        call,
        intent,
        {
            "charge": charge["id"],
            "code": decline.code,
            "decline_code": decline.decline_code,
            "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
            "message": decline.message,
            "payment_method": objects.payment_method(payment_method),
            "type": "card_error",
        },
    )


def _fail(call: Call, intent: Record, error: dict[str, Any]) -> None:
    intent |= {"last_payment_error": error, "payment_method": None}
    move(call, intent, "requires_payment_method")
    call.store.update("payment_intents", intent)
    call.happened("payment_intent.payment_failed", objects.payment_intent(intent))


def _ask_for_authentication(call: Call, intent: Record, confirmation: Confirmation) -> None:
    page = f"{call.origin}/_sandbox/payment_intents/{intent['id']}/authenticate"
    if confirmation.return_url is not None and not confirmation.by_sdk:
        action: dict[str, Any] = {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": confirmation.return_url, "url": page},
        }
    else:
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": page}}
    intent["next_action"] = action
    move(call, intent, "requires_action")
    call.store.update("payment_intents", intent)
    call.happened("payment_intent.requires_action", objects.payment_intent(intent))

"""PaymentIntents: create, read, update, confirm, cancel. Only cards, only automatic capture."""

from __future__ import annotations

import hmac
from typing import Any

from sandbox import expansion, objects
from sandbox.attempts import OPEN, Confirmation, confirm, move
from sandbox.calls import Call
from sandbox.currencies import SUPPORTED
from sandbox.errors import invalid, missing_object, unexpected_state
from sandbox.ids import random_text
from sandbox.lists import listing
from sandbox.payment_methods import resolve_parameter
from sandbox.store import Record

MAX_AMOUNT = 99_999_999
"""Stripe's limit: eight digits in minor units."""
CANCELLATION_REASONS = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
_SECRET_LENGTH = 25
_TABLE = "payment_intents"
_TEXTS = ("description", "receipt_email", "transfer_group")


def create(call: Call) -> dict[str, Any]:
    """POST /v1/payment_intents; with `confirm=true` it is confirmed at once."""
    parameters = call.parameters
    currency = parameters.required_text("currency")
    intent: Record = {
        "id": "",
        "amount": parameters.required_integer("amount", least=1),
        "client_secret": "",
        "created": call.now,
        "currency": currency,
        "status": "requires_payment_method",
        "metadata": parameters.metadata({}),
        **_optional_texts(call),
    }
    if currency not in SUPPORTED:
        raise invalid(f"Invalid currency: {currency[:10]}. Send a supported code in lower case.", param="currency")
    if intent["amount"] > MAX_AMOUNT:
        raise invalid(f"The amount is more than {MAX_AMOUNT}.", code="amount_too_large", param="amount")
    if any(kind != "card" for kind in parameters.array("payment_method_types")):
        raise invalid("Invalid payment_method_types: only card is supported.", param="payment_method_types")
    parameters.one_of("capture_method", ("automatic",))
    parameters.one_of("confirmation_method", ("automatic",))
    confirmation, at_once = Confirmation.read(call), parameters.boolean("confirm")
    paths = expansion.read(call, _TABLE)
    parameters.refuse_unknown()
    _insert(call, intent, None if at_once else confirmation.payment_method)
    if at_once:
        confirm(call, intent, confirmation)
    return _shown(call, intent, paths)


def _insert(call: Call, intent: Record, payment_method: str | None) -> None:
    intent["id"] = call.store.ids.new("pi")
    intent["client_secret"] = f"{intent['id']}_secret_{random_text(_SECRET_LENGTH)}"
    if payment_method is not None:
        intent["payment_method"] = resolve_parameter(call, payment_method)["id"]
        intent["status"] = "requires_confirmation"
    call.store.insert("payment_intents", intent)
    call.store.count("payment_intents")
    call.store.count(f"status.{intent['status']}")
    call.happened("payment_intent.created", objects.payment_intent(intent))


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/payment_intents/{id}; with a publishable key it needs `client_secret`."""
    secret, paths = call.parameters.text("client_secret"), expansion.read(call, _TABLE)
    call.parameters.refuse_unknown()
    return _shown(call, _load(call, secret), paths)


def list_all(call: Call) -> dict[str, Any]:
    """GET /v1/payment_intents"""
    return listing(call, _TABLE)


def update(call: Call) -> dict[str, Any]:
    """POST /v1/payment_intents/{id}: metadata, description, receipt address and transfer group."""
    changes, paths = _optional_texts(call), expansion.read(call, _TABLE)
    intent = _load(call, None)
    intent |= changes
    intent["metadata"] = call.parameters.metadata(intent["metadata"])
    call.parameters.refuse_unknown()
    call.store.update("payment_intents", intent)
    return _shown(call, intent, paths)


def confirm_existing(call: Call) -> dict[str, Any]:
    """POST /v1/payment_intents/{id}/confirm, by the server or, with `client_secret`, by the buyer's page."""
    secret, paths = call.parameters.text("client_secret"), expansion.read(call, _TABLE)
    confirmation = Confirmation.read(call)
    call.parameters.refuse_unknown()
    intent = _load(call, secret)
    confirm(call, intent, confirmation)
    return _shown(call, intent, paths)


def cancel(call: Call) -> dict[str, Any]:
    """POST /v1/payment_intents/{id}/cancel"""
    reason = call.parameters.one_of("cancellation_reason", CANCELLATION_REASONS)
    paths = expansion.read(call, _TABLE)
    call.parameters.refuse_unknown()
    intent = _load(call, None)
    if intent["status"] not in OPEN:
        raise unexpected_state(
            f"This PaymentIntent cannot be canceled: its status is {intent['status']}, and only "
            f"{', '.join(OPEN)} can be.",
            objects.payment_intent(intent),
        )
    intent |= {"canceled_at": call.now, "cancellation_reason": reason, "next_action": None}
    move(call, intent, "canceled")
    call.store.update("payment_intents", intent)
    call.happened("payment_intent.canceled", objects.payment_intent(intent))
    return _shown(call, intent, paths)


def _load(call: Call, secret: str | None) -> Record:
    """The intent of the URL. Raises StripeError when there is none or the client secret is missing or wrong."""
    intent = call.store.get("payment_intents", call.identifier)
    if intent is None:
        raise missing_object("payment_intent", call.identifier, param="intent")
    if secret is None and call.public:
        raise invalid("Missing required param: client_secret.", code="parameter_missing", param="client_secret")
    if secret is not None and not hmac.compare_digest(secret.encode(), intent["client_secret"].encode()):
        raise invalid(
            "The client_secret is not the one of this PaymentIntent.",
            code="payment_intent_invalid_parameter",
            param="client_secret",
        )
    return intent


def _optional_texts(call: Call) -> Record:
    """Texts that are kept as they are: an empty one unsets."""
    sent = {name: call.parameters.text(name, can_be_empty=True) for name in _TEXTS}
    return {name: text or None for name, text in sent.items() if text is not None}


def _shown(call: Call, intent: Record, paths: list[expansion.Path]) -> dict[str, Any]:
    shown = objects.payment_intent(intent, public=call.public)
    return expansion.expanded(call.store, _TABLE, shown, paths)

"""Charges: one attempt on a card each. Refunds: money going back, at most what a charge has taken."""

from __future__ import annotations

from typing import Any

from sandbox import objects
from sandbox.calls import Call
from sandbox.cards import Decline
from sandbox.errors import StripeError, invalid, missing_object, refused
from sandbox.lists import listing
from sandbox.store import Record

REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def charge_card(call: Call, intent: Record, payment_method: Record, decline: Decline | None) -> Record:
    """Makes the charge of one attempt, succeeded or failed, with its event. The amount is the intent's."""
    charge: Record = {
        "id": call.store.ids.new("ch"),
        "amount": intent["amount"],
        "card": payment_method["card"],
        "created": call.now,
        "currency": intent["currency"],
        "payment_intent": intent["id"],
        "payment_method": payment_method["id"],
        "metadata": intent.get("metadata", {}),
        "description": intent.get("description"),
    }
    charge |= _succeeded(intent) if decline is None else _failed(decline)
    call.store.insert("charges", charge, payment_intent=intent["id"])
    if decline is None:
        call.store.count("charges.succeeded")
        call.store.count(f"captured.{charge['currency']}", charge["amount"])
    else:
        call.store.count("charges.failed")
    call.happened(f"charge.{charge['status']}", objects.charge(charge))
    return charge


def _succeeded(intent: Record) -> Record:
    return {
        "status": "succeeded",
        "amount_captured": intent["amount"],
        "captured": True,
        "paid": True,
        "outcome": _outcome("approved_by_network", None, "The bank approved the payment.", "authorized"),
    }


def _failed(decline: Decline) -> Record:
    return {
        "status": "failed",
        "failure_code": decline.code,
        "failure_message": decline.message,
        "outcome": _outcome(
            "declined_by_network", decline.decline_code, "The bank declined the payment.", "issuer_declined"
        ),
    }


def _outcome(network_status: str, reason: str | None, seller_message: str, outcome_type: str) -> dict[str, Any]:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network_status,
        "reason": reason,
        "risk_level": "normal",
        "seller_message": seller_message,
        "type": outcome_type,
    }


def retrieve_charge(call: Call) -> dict[str, Any]:
    """GET /v1/charges/{id}"""
    call.parameters.refuse_unknown()
    charge = call.store.get("charges", call.identifier)
    if charge is None:
        raise missing_object("charge", call.identifier, param="id")
    return objects.charge(charge)


def list_charges(call: Call) -> dict[str, Any]:
    """GET /v1/charges"""
    return listing(call, "charges", objects.charge, filters=("payment_intent",))


def create_refund(call: Call) -> dict[str, Any]:
    """POST /v1/refunds: all that is left of a charge, or `amount` of it. It succeeds at once."""
    parameters = call.parameters
    intent_id, charge_id = parameters.text("payment_intent"), parameters.text("charge")
    amount = parameters.integer("amount", least=1)
    reason = parameters.one_of("reason", REFUND_REASONS)
    metadata = parameters.metadata({})
    parameters.refuse_unknown()
    charge = _charge_to_refund(call, intent_id, charge_id)
    left = charge["amount"] - charge.get("amount_refunded", 0)
    if left == 0:
        raise refused(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount is not None and amount > left:
        raise refused(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}), "
            f"in minor units of {charge['currency']}",
            param="amount",
        )
    refund = {
        "id": call.store.ids.new("re"),
        "amount": amount or left,
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": reason,
    }
    call.store.insert("refunds", refund, payment_intent=refund["payment_intent"], charge=refund["charge"])
    call.store.count("refunds")
    call.store.count(f"refunded.{refund['currency']}", refund["amount"])
    call.happened("refund.created", objects.refund(refund))
    _take_back(call, charge, refund["amount"])
    return objects.refund(refund)


def _take_back(call: Call, charge: Record, amount: int) -> None:
    before = {"amount_refunded": charge.get("amount_refunded", 0), "refunded": False}
    charge["amount_refunded"] = before["amount_refunded"] + amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    call.store.update("charges", charge)
    previous = {name: old for name, old in before.items() if charge[name] != old}
    call.happened("charge.refunded", objects.charge(charge), previous)


def _charge_to_refund(call: Call, intent_id: str | None, charge_id: str | None) -> Record:
    """The succeeded charge that either parameter names. Raises StripeError."""
    if intent_id is None and charge_id is None:
        raise invalid("One of payment_intent and charge is needed to make a refund.")
    if intent_id is not None:
        intent = call.store.get("payment_intents", intent_id)
        if intent is None:
            raise missing_object("payment_intent", intent_id, param="payment_intent")
        latest: str | None = intent.get("latest_charge")
        if charge_id not in (None, latest):
            raise invalid(f"Charge {charge_id} is not the one of PaymentIntent {intent_id}.", param="charge")
        if latest is None:
            raise _nothing_to_refund(intent_id)
        charge_id = latest
    assert charge_id is not None
    charge = call.store.get("charges", charge_id)
    if charge is None:
        raise missing_object("charge", charge_id, param="id")
    if charge["status"] != "succeeded":
        raise _nothing_to_refund(charge["payment_intent"])
    return charge


def _nothing_to_refund(intent_id: str) -> StripeError:
    return refused(
        f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.", param="payment_intent"
    )


def retrieve_refund(call: Call) -> dict[str, Any]:
    """GET /v1/refunds/{id}"""
    call.parameters.refuse_unknown()
    refund = call.store.get("refunds", call.identifier)
    if refund is None:
        raise missing_object("refund", call.identifier, param="refund")
    return objects.refund(refund)


def list_refunds(call: Call) -> dict[str, Any]:
    """GET /v1/refunds"""
    return listing(call, "refunds", objects.refund, filters=("payment_intent", "charge"))

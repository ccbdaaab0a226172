"""Charges: one attempt on a card each."""

from __future__ import annotations

from typing import Any

from sandbox import balance, expansion, ledger, objects
from sandbox.calls import Call
from sandbox.cards import CARDS, Decline
from sandbox.errors import missing_object
from sandbox.lists import listing
from sandbox.store import Record


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
        "transfer_group": intent.get("transfer_group"),
    }
    charge |= _succeeded(call, charge) if decline is None else _failed(decline)
    call.store.insert("charges", charge, payment_intent=intent["id"])
    if decline is None:
        if CARDS[charge["card"]].claim is not None:
            call.settle_later(charge["id"], "disputed")
        call.store.count("charges.succeeded")
        call.store.count(f"captured.{charge['currency']}", charge["amount"])
    else:
        call.store.count("charges.failed")
    call.happened(f"charge.{charge['status']}", objects.charge(charge))
    return charge


def _succeeded(call: Call, charge: Record) -> Record:
    amount = charge["amount"]
    booked = balance.book(
        call, ledger.CHARGE, charge, amount, fee=ledger.charge_fee(amount), description=charge["description"]
    )
    return {
        "status": "succeeded",
        "amount_captured": amount,
        "balance_transaction": booked["id"],
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


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/charges/{id}"""
    paths = expansion.read(call, "charges")
    call.parameters.refuse_unknown()
    charge = call.store.get("charges", call.identifier)
    if charge is None:
        raise missing_object("charge", call.identifier, param="id")
    return expansion.expanded(call.store, "charges", objects.charge(charge), paths)


def list_all(call: Call) -> dict[str, Any]:
    """GET /v1/charges"""
    return listing(call, "charges", filters=("payment_intent",))

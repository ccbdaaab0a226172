"""Refunds: money going back, at most what a charge has taken.

            ┌─> succeeded ──┐
create ─────┤               ├─> failed (the card's bank does not take it: the money is on the balance again)
            └─> pending ────┘
                   └──────────> succeeded
"""

from __future__ import annotations

from typing import Any

from sandbox import balance, expansion, ledger, objects
from sandbox.calls import Call
from sandbox.cards import CARDS
from sandbox.currencies import money_text
from sandbox.errors import StripeError, invalid, missing_object, refused
from sandbox.lists import listing
from sandbox.store import Record

REASONS = ("duplicate", "fraudulent", "requested_by_customer")
OUTCOMES = ("succeed", "fail")
"""How a refund can be settled."""
_CARD_IS_GONE = "expired_or_canceled_card"


def create(call: Call) -> dict[str, Any]:
    """POST /v1/refunds: all that is left of a charge, or `amount` of it."""
    parameters = call.parameters
    intent_id, charge_id = parameters.text("payment_intent"), parameters.text("charge")
    amount = parameters.integer("amount", least=1)
    reason = parameters.one_of("reason", REASONS)
    metadata = parameters.metadata({})
    paths = expansion.read(call, "refunds")
    parameters.refuse_unknown()
    charge = _charge_to_refund(call, intent_id, charge_id)
    refund = {
        "id": call.store.ids.new("re"),
        "amount": _amount_to_refund(charge, amount),
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": reason,
    }
    description = "REFUND FOR CHARGE" + (f" ({charge['description']})" if charge["description"] else "")
    booked = balance.book(call, ledger.REFUND, refund, -refund["amount"], description=description)
    refund["balance_transaction"] = booked["id"]
    behaviour = CARDS[charge["card"]].refund
    if behaviour == "pending":
        refund |= {"status": "pending", "pending_reason": "processing"}
    call.store.insert("refunds", refund, payment_intent=refund["payment_intent"], charge=refund["charge"])
    if behaviour is not None:
        call.settle_later(refund["id"], "succeed" if behaviour == "pending" else "fail")
    call.store.count("refunds")
    call.store.count(f"refunded.{refund['currency']}", refund["amount"])
    call.happened("refund.created", objects.refund(refund))
    previous = _charge_back(call, charge, refund["amount"])
    call.happened("charge.refunded", objects.charge(charge), previous)
    return expansion.expanded(call.store, "refunds", objects.refund(refund), paths)


def settle(call: Call, refund: Record, *, passed: bool, failure_reason: str = _CARD_IS_GONE) -> None:
    """The bank's last word on a refund. Raises StripeError when it has been spoken already."""
    status = objects.refund(refund)["status"]
    if status == "failed" or (passed and status != "pending"):
        raise refused(f"Refund {refund['id']} cannot be settled so: it is {status}.")
    call.settled(refund["id"])
    previous = {"status": status}
    if refund.pop("pending_reason", None) is not None:
        previous["pending_reason"] = "processing"
    if passed:
        refund["status"] = "succeeded"
    else:
        previous |= {"failure_balance_transaction": None, "failure_reason": None}
        booked = balance.book(call, ledger.REFUND_FAILURE, refund, refund["amount"])
        refund |= {
            "status": "failed",
            "failure_reason": failure_reason,
            "failure_balance_transaction": booked["id"],
        }
        charge = call.store.get("charges", refund["charge"])
        assert charge is not None, "charges are never deleted"
        _charge_back(call, charge, -refund["amount"])
        call.store.count(f"refunded.{refund['currency']}", -refund["amount"])
    call.store.update("refunds", refund)
    shown = objects.refund(refund)
    call.happened("refund.updated", shown, previous)
    call.happened("charge.refund.updated", shown, previous)
    if not passed:
        call.happened("refund.failed", shown)


def _charge_back(call: Call, charge: Record, amount: int) -> dict[str, Any]:
    """Notes on the charge that so much more of it (less, when negative) went back; returns what was there before."""
    before = {"amount_refunded": charge.get("amount_refunded", 0), "refunded": charge.get("refunded", False)}
    charge["amount_refunded"] = before["amount_refunded"] + amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    call.store.update("charges", charge)
    return {name: old for name, old in before.items() if charge[name] != old}


def _amount_to_refund(charge: Record, wanted: int | None) -> int:
    """What to send back. Raises StripeError when there is less, or nothing, left."""
    left: int = charge["amount"] - charge.get("amount_refunded", 0)
    if left == 0:
        raise refused(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if wanted is not None and wanted > left:
        too_much, unrefunded = (money_text(amount, charge["currency"]) for amount in (wanted, left))
        raise refused(
            f"Refund amount ({too_much}) is greater than unrefunded amount on charge ({unrefunded})", param="amount"
        )
    return wanted or left


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
    _refuse_if_disputed(call, charge)
    return charge


def _refuse_if_disputed(call: Call, charge: Record) -> None:
    if not charge.get("disputed"):
        return
    (dispute,), _ = call.store.page("disputes", [("charge = ?", charge["id"])], limit=1)
    if not dispute["is_charge_refundable"]:
        raise refused(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")


def _nothing_to_refund(intent_id: str) -> StripeError:
    return refused(
        f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.", param="payment_intent"
    )


def load(call: Call) -> Record:
    """The refund of the URL. Raises StripeError 404."""
    refund = call.store.get("refunds", call.identifier)
    if refund is None:
        raise missing_object("refund", call.identifier, param="refund")
    return refund


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/refunds/{id}"""
    paths = expansion.read(call, "refunds")
    call.parameters.refuse_unknown()
    return expansion.expanded(call.store, "refunds", objects.refund(load(call)), paths)


def list_all(call: Call) -> dict[str, Any]:
    """GET /v1/refunds"""
    return listing(call, "refunds", filters=("payment_intent", "charge"))

"""Disputes: a buyer's bank asks the money back, and decides in the end.

needs_response ─ evidence ─> under_review ──┬─> won (the money is back, the fee is not)
      └──────── close ──────────────────────┴─> lost

An inquiry takes no money yet: warning_needs_response ─ evidence ─> warning_under_review ─> warning_closed, or it is
escalated to needs_response.
"""

from __future__ import annotations

from typing import Any

from sandbox import balance, expansion, ledger, objects, refunds
from sandbox.calls import Call
from sandbox.cards import CARDS, Claim
from sandbox.errors import invalid, missing_object, refused
from sandbox.ids import moment_of
from sandbox.lists import listing
from sandbox.store import Record

REASON_CODES = {
    "fraudulent": "10.4",
    "duplicate": "12.6",
    "product_not_received": "13.1",
    "subscription_canceled": "13.2",
    "product_unacceptable": "13.3",
    "credit_not_processed": "13.6",
}
"""The reasons there are here, with Visa's code of each; an inquiry has what is before the point."""
OUTCOMES = ("won", "lost", "escalated")
"""How a dispute can be settled; the last only an inquiry."""
OVER = ("won", "lost", "warning_closed")
"""Statuses in which nothing more happens."""
EVIDENCE_TEXTS = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_tracking_number",
    "uncategorized_text",
)
"""What can be sent; the other fields take files, which are not there."""
_DECIDING = {"winning_evidence": "won", "losing_evidence": "lost", "escalate_inquiry_evidence": "escalated"}
"""What a test's `uncategorized_text` makes the bank decide (docs.stripe.com/testing)."""
MAX_EVIDENCE = 150_000
"""Stripe's limit for all texts together, in characters."""
_TABLE = "disputes"
_DAY_SECONDS = 86_400
_DAYS_TO_ANSWER = 8


def open_dispute(call: Call, charge: Record, claim: Claim) -> Record:
    """The bank disputes what is not refunded of a charge. Raises StripeError when there is nothing to dispute."""
    call.settled(charge["id"])
    amount = charge["amount"] - charge.get("amount_refunded", 0)
    if charge["status"] != "succeeded" or charge.get("disputed") or amount == 0:
        raise refused(f"Charge {charge['id']} cannot be disputed: it failed, is refunded, or is disputed already.")
    code = REASON_CODES[claim.reason]
    brand = CARDS[charge["card"]].brand
    dispute: Record = {
        "id": call.store.ids.new("du"),
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "due_by": (call.now // _DAY_SECONDS + _DAYS_TO_ANSWER + 1) * _DAY_SECONDS - 1,
        "is_charge_refundable": True,
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": brand,
                "case_type": "inquiry" if claim.is_inquiry else "chargeback",
                "network": brand,
                "network_reason_code": code.partition(".")[0] if claim.is_inquiry else code,
            },
            "type": "card",
        },
        "reason": claim.reason,
        "status": "warning_needs_response" if claim.is_inquiry else "needs_response",
    }
    if not claim.is_inquiry:
        _withdraw(call, dispute)
    call.store.update("charges", charge | {"disputed": True})
    call.store.insert(_TABLE, dispute, charge=dispute["charge"], payment_intent=dispute["payment_intent"])
    call.store.count(f"dispute.{dispute['status']}")
    shown = objects.dispute(dispute)
    call.happened("charge.dispute.created", shown)
    if not claim.is_inquiry:
        call.happened("charge.dispute.funds_withdrawn", shown)
    return dispute


def settle(call: Call, dispute: Record, outcome: str) -> None:
    """The bank's last word. Raises StripeError when the dispute is over, or is no inquiry and shall be escalated."""
    _refuse_if_over(dispute)
    if outcome == "escalated":
        _escalate(call, dispute)
    elif _is_inquiry(dispute):
        _close(call, dispute, "warning_closed")
    else:
        _close(call, dispute, outcome)


def _close(call: Call, dispute: Record, status: str) -> None:
    call.settled(dispute["id"])
    before = objects.dispute(dispute)
    _move(call, dispute, status)
    dispute["is_charge_refundable"] = status != "lost"
    if status == "won":
        _reinstate(call, dispute)
    call.store.update(_TABLE, dispute)
    shown, previous = _changed(dispute, before)
    if status == "won":
        call.happened("charge.dispute.funds_reinstated", shown, previous)
    call.happened("charge.dispute.closed", shown, previous)


def _escalate(call: Call, dispute: Record) -> None:
    """The inquiry becomes a chargeback. Refunds made meanwhile fail, or the buyer would have the money twice."""
    if not _is_inquiry(dispute):
        raise refused(f"Dispute {dispute['id']} is no inquiry.")
    call.settled(dispute["id"])
    before = objects.dispute(dispute)
    for refund in call.store.all("refunds", "charge", dispute["charge"]):
        is_later = moment_of(refund["id"]) > moment_of(dispute["id"])
        if is_later and refund.get("status") != "failed":
            refunds.settle(call, refund, passed=False, failure_reason="charge_for_pending_refund_disputed")
    card = dispute["payment_method_details"]["card"]
    card |= {"case_type": "chargeback", "network_reason_code": REASON_CODES[dispute["reason"]]}
    _move(call, dispute, "needs_response")
    _withdraw(call, dispute)
    call.store.update(_TABLE, dispute)
    shown, previous = _changed(dispute, before)
    call.happened("charge.dispute.updated", shown, previous)
    call.happened("charge.dispute.funds_withdrawn", shown, previous)


def _withdraw(call: Call, dispute: Record) -> None:
    booked = balance.book(
        call,
        ledger.DISPUTE,
        dispute,
        -dispute["amount"],
        fee=ledger.DISPUTE_FEE,
        fee_description="Dispute fee",
        description=f"Chargeback withdrawal for {dispute['charge']}",
    )
    dispute["balance_transactions"] = [booked]
    dispute["is_charge_refundable"] = False


def _reinstate(call: Call, dispute: Record) -> None:
    description = f"Chargeback reversal for {dispute['charge']}"
    booked = balance.book(call, ledger.DISPUTE_REVERSAL, dispute, dispute["amount"], description=description)
    dispute["balance_transactions"] = [*dispute["balance_transactions"], booked]


def update(call: Call) -> dict[str, Any]:
    """POST /v1/disputes/{id}: evidence, which is sent to the bank unless `submit=false`, and metadata."""
    parameters = call.parameters
    evidence = _evidence(call)
    submit = parameters.one_of("submit", ("true", "false"))
    paths = expansion.read(call, _TABLE)
    dispute = load(call)
    before = objects.dispute(dispute)
    dispute["metadata"] = parameters.metadata(before["metadata"])
    parameters.refuse_unknown()
    _refuse_if_over(dispute)
    dispute["evidence"] = {**dispute.get("evidence", {}), **evidence}
    if sum(len(text) for text in dispute["evidence"].values() if text) > MAX_EVIDENCE:
        raise invalid(f"All evidence together has at most {MAX_EVIDENCE} characters.", param="evidence")
    if submit == "true" or (evidence and submit is None):
        dispute["submission_count"] = dispute.get("submission_count", 0) + 1
        _move(call, dispute, "warning_under_review" if _is_inquiry(dispute) else "under_review")
        outcome = _DECIDING.get(dispute["evidence"].get("uncategorized_text") or "")
        if outcome is not None:
            call.settle_later(dispute["id"], outcome)
    call.store.update(_TABLE, dispute)
    shown, previous = _changed(dispute, before)
    call.happened("charge.dispute.updated", shown, previous)
    return expansion.expanded(call.store, _TABLE, objects.dispute(dispute), paths)


def close(call: Call) -> dict[str, Any]:
    """POST /v1/disputes/{id}/close: nothing will be said against it, so it is lost."""
    paths = expansion.read(call, _TABLE)
    call.parameters.refuse_unknown()
    dispute = load(call)
    settle(call, dispute, "lost")
    return expansion.expanded(call.store, _TABLE, objects.dispute(dispute), paths)


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/disputes/{id}"""
    paths = expansion.read(call, _TABLE)
    call.parameters.refuse_unknown()
    return expansion.expanded(call.store, _TABLE, objects.dispute(load(call)), paths)


def list_all(call: Call) -> dict[str, Any]:
    """GET /v1/disputes"""
    return listing(call, _TABLE, filters=("charge", "payment_intent"))


def load(call: Call) -> Record:
    """The dispute of the URL. Raises StripeError 404."""
    dispute = call.store.get(_TABLE, call.identifier)
    if dispute is None:
        raise missing_object("dispute", call.identifier, param="dispute")
    return dispute


def _evidence(call: Call) -> dict[str, str | None]:
    """`evidence[…]`; an empty text unsets. Raises StripeError for what is no text of evidence."""
    sent = call.parameters.hash("evidence")
    for name in sent:
        if name not in EVIDENCE_TEXTS:
            param = f"evidence[{name[:100]}]"
            raise invalid(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)
    return {name: text or None for name, text in sent.items()}


def _refuse_if_over(dispute: Record) -> None:
    if dispute["status"] in OVER:
        raise refused("This dispute is already closed")


def _is_inquiry(dispute: Record) -> bool:
    return bool(dispute["status"].startswith("warning_"))


def _move(call: Call, dispute: Record, status: str) -> None:
    call.store.count(f"dispute.{dispute['status']}", -1)
    call.store.count(f"dispute.{status}")
    dispute["status"] = status


def _changed(dispute: Record, before: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The dispute as it is shown now, and the old values of what changed."""
    shown = objects.dispute(dispute)
    return shown, {name: old for name, old in before.items() if shown[name] != old}

"""Banks that ask a buyer's money back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.sandbox.harness import Endpoint, Sandbox, wait_until
from tests.sandbox.test_sandbox_balance import balance_of

DISPUTE_CARD = "pm_card_createDispute"
DAY = 86_400


def disputed(sandbox: Sandbox, card: str = DISPUTE_CARD, amount: int = 2500, currency: str = "eur") -> stripe.Dispute:
    """The dispute that this card's bank opens."""
    sandbox.faults(settle_delay_ms=0)
    intent = sandbox.new_intent(amount, currency=currency, payment_method=card, confirm=True)
    assert intent.status == "succeeded"
    found: list[stripe.Dispute] = []

    def is_there() -> bool:
        found[:] = sandbox.stripe.v1.disputes.list({"payment_intent": intent.id}).data
        return bool(found)

    wait_until(is_there, "the bank disputes it")
    [dispute] = found
    return dispute


def say(sandbox: Sandbox, dispute: stripe.Dispute, text: str, **more: Any) -> stripe.Dispute:
    parameters: Any = {"evidence": {"uncategorized_text": text}, **more}
    return sandbox.stripe.v1.disputes.update(dispute.id, parameters)


def settle(sandbox: Sandbox, dispute_id: str, outcome: str) -> Any:
    return sandbox.call("POST", f"/_sandbox/disputes/{dispute_id}/settle", {"outcome": outcome})


def ends_as(sandbox: Sandbox, dispute: stripe.Dispute, status: str) -> stripe.Dispute:
    disputes = sandbox.stripe.v1.disputes
    wait_until(lambda: disputes.retrieve(dispute.id).status == status, f"the dispute is {status}")
    return disputes.retrieve(dispute.id)


def told(sandbox: Sandbox, dispute: stripe.Dispute) -> list[str]:
    """What was told of the dispute, without the prefix."""
    types = sandbox.events_of(str(dispute.payment_intent))
    return [name.removeprefix("charge.dispute.") for name in types if name.startswith("charge.dispute.")]


def test_a_chargeback_takes_the_money_and_a_fee(sandbox: Sandbox, endpoint: Endpoint) -> None:
    before = balance_of(sandbox, "czk")
    dispute = disputed(sandbox, amount=10_000, currency="czk")
    assert dispute.id.startswith("du_")
    assert (dispute.object, dispute.status, dispute.reason) == ("dispute", "needs_response", "fraudulent")
    assert (dispute.amount, dispute.currency, dispute.is_charge_refundable) == (10_000, "czk", False)
    assert dispute.metadata.to_dict() == {}
    assert dispute.payment_method_details is not None
    assert dispute.payment_method_details.to_dict() == {
        "card": {"brand": "visa", "case_type": "chargeback", "network": "visa", "network_reason_code": "10.4"},
        "type": "card",
    }
    [withdrawn] = dispute.balance_transactions
    assert (withdrawn.type, withdrawn.reporting_category) == ("adjustment", "dispute")
    assert (withdrawn.amount, withdrawn.fee, withdrawn.net) == (-10_000, 1_500, -11_500)
    assert withdrawn.fee_details[0].description == "Dispute fee"
    assert withdrawn.source == dispute.id
    assert balance_of(sandbox, "czk") == before + 10_000 - 175 - 11_500
    details = dispute.evidence_details
    assert details.due_by == (dispute.created // DAY + 9) * DAY - 1
    assert (details.has_evidence, details.past_due, details.submission_count) == (False, False, 0)

    charge = sandbox.stripe.v1.charges.retrieve(str(dispute.charge))
    assert (charge.disputed, charge.refunded) == (True, False)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.stripe.v1.refunds.create({"charge": charge.id, "amount": 1})
    assert (refused.value.code, refused.value.http_status) == ("charge_disputed", 400)
    assert told(sandbox, dispute) == ["created", "funds_withdrawn"]
    endpoint.wait_for(str(dispute.payment_intent), 5)
    received = [r.event for r in endpoint.received if r.event["data"]["object"]["id"] == dispute.id]
    assert all(event["data"]["object"] == dispute.to_dict() for event in received)


def test_reasons_and_expanded_fields(sandbox: Sandbox) -> None:
    dispute = disputed(sandbox, "pm_card_createDisputeProductNotReceived")
    assert (dispute.reason, dispute.status) == ("product_not_received", "needs_response")
    expand = ["charge.balance_transaction", "payment_intent"]
    whole = sandbox.stripe.v1.disputes.retrieve(dispute.id, {"expand": expand})
    assert isinstance(whole.payment_intent, stripe.PaymentIntent)
    assert isinstance(whole.charge, stripe.Charge)
    assert isinstance(whole.charge.balance_transaction, stripe.BalanceTransaction)
    of_charge = sandbox.stripe.v1.disputes.list({"charge": whole.charge.id, "created": {"gte": dispute.created}})
    assert [one.id for one in of_charge.data] == [dispute.id]
    assert sandbox.stripe.v1.disputes.list({"charge": "ch_other"}).data == []
    assert sandbox.call("GET", "/v1/disputes/du_nothing").body["error"]["param"] == "dispute"


def test_a_won_dispute_brings_the_money_back_without_the_fee(sandbox: Sandbox) -> None:
    dispute = disputed(sandbox, currency="huf")
    before = balance_of(sandbox, "huf")
    sent = say(sandbox, dispute, "winning_evidence")
    assert sent.status == "under_review"
    assert (sent.evidence_details.has_evidence, sent.evidence_details.submission_count) == (True, 1)
    won = ends_as(sandbox, dispute, "won")
    assert (won.is_charge_refundable, won.evidence.uncategorized_text) == (True, "winning_evidence")
    withdrawn, reinstated = won.balance_transactions
    assert withdrawn.id == dispute.balance_transactions[0].id
    assert (reinstated.reporting_category, reinstated.amount, reinstated.fee) == ("dispute_reversal", 2500, 0)
    assert balance_of(sandbox, "huf") == before + 2500
    assert told(sandbox, dispute) == ["created", "funds_withdrawn", "updated", "funds_reinstated", "closed"]
    assert sandbox.stripe.v1.charges.retrieve(str(dispute.charge)).disputed is True
    assert sandbox.stripe.v1.refunds.create({"charge": str(dispute.charge)}).status == "succeeded"


def test_a_lost_dispute(sandbox: Sandbox) -> None:
    dispute = disputed(sandbox)
    say(sandbox, dispute, "losing_evidence")
    lost = ends_as(sandbox, dispute, "lost")
    assert (lost.is_charge_refundable, len(lost.balance_transactions)) == (False, 1)
    assert told(sandbox, dispute) == ["created", "funds_withdrawn", "updated", "closed"]
    for act in (sandbox.stripe.v1.disputes.close, sandbox.stripe.v1.disputes.update):
        with pytest.raises(stripe.InvalidRequestError, match="This dispute is already closed") as again:
            act(dispute.id)
        assert (again.value.http_status, again.value.code, again.value.param) == (400, None, None)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.stripe.v1.refunds.create({"charge": str(dispute.charge)})
    assert refused.value.code == "charge_disputed"


def test_closing_is_losing(sandbox: Sandbox) -> None:
    dispute = disputed(sandbox)
    sandbox.faults(settle_delay_ms=600_000)
    say(sandbox, dispute, "winning_evidence")
    waiting = sandbox.state()["to_settle"]
    assert sandbox.stripe.v1.disputes.close(dispute.id).status == "lost"
    assert sandbox.state()["to_settle"] == waiting - 1
    assert told(sandbox, dispute)[-1] == "closed"
    sandbox.faults(settle_delay_ms=0)
    assert settle(sandbox, dispute.id, "won").status == 400
    assert sandbox.stripe.v1.disputes.retrieve(dispute.id).status == "lost"


def test_evidence_is_kept_until_it_is_submitted(sandbox: Sandbox) -> None:
    dispute = disputed(sandbox)
    disputes = sandbox.stripe.v1.disputes
    kept = say(sandbox, dispute, "losing_evidence", submit=False, metadata={"case": "7"})
    assert (kept.status, kept.evidence_details.submission_count) == ("needs_response", 0)
    assert (kept.evidence_details.has_evidence, kept.metadata.to_dict()) == (True, {"case": "7"})
    assert disputes.update(dispute.id, {"metadata": {"by": "me"}}).status == "needs_response"
    emptied = disputes.update(dispute.id, {"evidence": {"uncategorized_text": ""}, "submit": False})
    assert emptied.evidence_details.has_evidence is False
    say(sandbox, dispute, "Here is the ticket.", submit=False)
    sent = disputes.update(dispute.id, {"submit": True})
    assert (sent.status, sent.evidence_details.submission_count) == ("under_review", 1)
    assert sent.metadata.to_dict() == {"case": "7", "by": "me"}
    assert settle(sandbox, dispute.id, "won").body["status"] == "won"


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"evidence[colour]": "red"}, "parameter_unknown", "evidence[colour]"),
        ({"evidence[receipt]": "file_1"}, "parameter_unknown", "evidence[receipt]"),
        ({"evidence": "text"}, None, "evidence"),
        ({"submit": "yes"}, None, "submit"),
        ({"amount": "1"}, "parameter_unknown", "amount"),
    ],
)
def test_bad_answers_change_nothing(sandbox: Sandbox, form: dict[str, str], code: str | None, param: str) -> None:
    dispute = disputed(sandbox)
    answer = sandbox.call("POST", f"/v1/disputes/{dispute.id}", form)
    error = answer.body["error"]
    assert (answer.status, error.get("code"), error["param"]) == (400, code, param)
    assert sandbox.stripe.v1.disputes.retrieve(dispute.id).to_dict() == dispute.to_dict()


def test_all_evidence_together_has_a_limit(sandbox: Sandbox) -> None:
    dispute = disputed(sandbox)
    path = f"/v1/disputes/{dispute.id}"
    for name in ("billing_address", "service_date"):
        form = {f"evidence[{name}]": "x" * 60_000, "submit": "false"}
        assert sandbox.call("POST", path, form).status == 200
    answer = sandbox.call("POST", path, {"evidence[uncategorized_text]": "x" * 30_001})
    assert (answer.status, answer.body["error"]["param"]) == (400, "evidence")


def test_an_inquiry_takes_nothing_and_is_closed(sandbox: Sandbox) -> None:
    dispute = disputed(sandbox, "pm_card_createDisputeInquiry", currency="ron")
    assert (dispute.status, dispute.is_charge_refundable) == ("warning_needs_response", True)
    assert dispute.balance_transactions == []
    assert dispute.payment_method_details is not None
    assert dispute.payment_method_details.to_dict()["card"]["network_reason_code"] == "10"
    before = balance_of(sandbox, "ron")
    assert sandbox.stripe.v1.refunds.create({"charge": str(dispute.charge), "amount": 100}).status == "succeeded"
    assert say(sandbox, dispute, "winning_evidence").status == "warning_under_review"
    ends_as(sandbox, dispute, "warning_closed")
    assert balance_of(sandbox, "ron") == before - 100
    assert told(sandbox, dispute) == ["created", "updated", "closed"]
    closed = disputed(sandbox, "pm_card_createDisputeInquiry")
    assert sandbox.stripe.v1.disputes.close(closed.id).status == "warning_closed"


def test_an_inquiry_may_become_a_chargeback(sandbox: Sandbox) -> None:
    dispute = disputed(sandbox, "pm_card_createDisputeInquiry", amount=1_000, currency="try")
    refund = sandbox.stripe.v1.refunds.create({"charge": str(dispute.charge), "amount": 400})
    before = balance_of(sandbox, "try")
    say(sandbox, dispute, "escalate_inquiry_evidence")
    escalated = ends_as(sandbox, dispute, "needs_response")
    assert escalated.is_charge_refundable is False
    assert escalated.payment_method_details is not None
    assert escalated.payment_method_details.to_dict()["card"]["case_type"] == "chargeback"
    assert [booked.net for booked in escalated.balance_transactions] == [-2_500]
    # The buyer does not get the money twice: what was refunded meanwhile comes back.
    failed = sandbox.stripe.v1.refunds.retrieve(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "charge_for_pending_refund_disputed")
    assert balance_of(sandbox, "try") == before + 400 - 2_500
    assert told(sandbox, dispute) == ["created", "updated", "updated", "funds_withdrawn"]
    assert settle(sandbox, dispute.id, "escalated").status == 400
    assert settle(sandbox, dispute.id, "won").body["status"] == "won"


def test_what_the_bank_decides_now_it_does_not_decide_later(sandbox: Sandbox) -> None:
    dispute = disputed(sandbox, "pm_card_createDisputeInquiry")
    sandbox.faults(settle_delay_ms=600_000)
    say(sandbox, dispute, "winning_evidence")
    waiting = sandbox.state()["to_settle"]
    assert settle(sandbox, dispute.id, "escalated").body["status"] == "needs_response"
    assert sandbox.state()["to_settle"] == waiting - 1


def test_a_test_plays_the_bank(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(payment_method="pm_card_mastercard", confirm=True)
    sandbox.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 500})
    path = f"/_sandbox/charges/{intent.latest_charge}/dispute"
    for form, status in [({"reason": "whim"}, 400), ({"inquiry": "maybe"}, 400), ({"reason": "duplicate"}, 200)]:
        answer = sandbox.call("POST", path, form)
        assert answer.status == status, form
    assert (answer.body["amount"], answer.body["reason"], answer.body["status"]) == (
        2000,
        "duplicate",
        "needs_response",
    )
    assert sandbox.call("POST", path, {}).status == 400
    assert settle(sandbox, answer.body["id"], "maybe").status == 400
    assert settle(sandbox, answer.body["id"], "escalated").status == 400
    assert settle(sandbox, answer.body["id"], "lost").body["status"] == "lost"
    assert settle(sandbox, "du_nothing", "lost").status == 404
    assert sandbox.call("POST", "/_sandbox/charges/ch_nothing/dispute", {}).status == 404
    asked = sandbox.new_intent(payment_method="pm_card_visa", confirm=True).latest_charge
    inquiry = sandbox.call("POST", f"/_sandbox/charges/{asked}/dispute", {"inquiry": "true"}).body
    assert inquiry["status"] == "warning_needs_response"
    assert sandbox.state()["disputes"]["lost"] >= 1


def test_a_charge_that_is_refunded_first_is_not_disputed(state_path: Path) -> None:
    with Sandbox(state_path) as sandbox:
        sandbox.faults(settle_delay_ms=600_000)
        intent = sandbox.new_intent(payment_method=DISPUTE_CARD, confirm=True)
        assert sandbox.stripe.v1.disputes.list({"payment_intent": intent.id}).data == []
        sandbox.stripe.v1.refunds.create({"payment_intent": intent.id})
        late = sandbox.new_intent(payment_method=DISPUTE_CARD, confirm=True)
        sandbox.kill()
        sandbox.restart()
        # The other one, which came later, shows that the first has had its turn, and stopped nothing.
        disputes = sandbox.stripe.v1.disputes
        wait_until(lambda: bool(disputes.list({"payment_intent": late.id}).data), "the later one is disputed")
        assert disputes.list({"payment_intent": intent.id}).data == []

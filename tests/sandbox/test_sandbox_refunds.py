"""Money going back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import stripe

from sandbox.currencies import money_text
from tests.sandbox.harness import Endpoint, Sandbox, wait_until


def paid_intent(sandbox: Sandbox, amount: int = 2500, card: str = "pm_card_visa") -> stripe.PaymentIntent:
    return sandbox.new_intent(amount, payment_method=card, confirm=True)


def settle(sandbox: Sandbox, refund_id: str, outcome: str) -> Any:
    return sandbox.call("POST", f"/_sandbox/refunds/{refund_id}/settle", {"outcome": outcome})


def test_a_full_refund(sandbox: Sandbox) -> None:
    intent = paid_intent(sandbox)
    refund = sandbox.stripe.v1.refunds.create(
        {"payment_intent": intent.id, "reason": "requested_by_customer", "metadata": {"order_id": "42"}}
    )
    assert refund.id.startswith("re_")
    assert (refund.status, refund.amount, refund.currency) == ("succeeded", 2500, "eur")
    assert (refund.payment_intent, refund.charge) == (intent.id, intent.latest_charge)
    assert refund.metadata is not None
    assert refund.metadata.to_dict() == {"order_id": "42"}
    assert sandbox.stripe.v1.refunds.retrieve(refund.id).to_dict() == refund.to_dict()
    charge = sandbox.stripe.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (2500, True)
    assert sandbox.events_of(intent.id)[-2:] == ["refund.created", "charge.refunded"]
    with pytest.raises(stripe.InvalidRequestError) as again:
        sandbox.stripe.v1.refunds.create({"payment_intent": intent.id})
    assert (again.value.code, again.value.http_status) == ("charge_already_refunded", 400)


def test_partial_refunds_never_exceed_the_charge(sandbox: Sandbox) -> None:
    intent = paid_intent(sandbox)
    first = sandbox.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 1000})
    charge = sandbox.stripe.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (1000, False)
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        sandbox.stripe.v1.refunds.create({"charge": charge.id, "amount": 1501})
    assert (too_much.value.param, too_much.value.http_status) == ("amount", 400)
    assert too_much.value.user_message == (
        "Refund amount (€15.01) is greater than unrefunded amount on charge (€15.00)"
    )
    rest = sandbox.stripe.v1.refunds.create({"charge": charge.id})
    assert rest.amount == 1500
    listed = sandbox.stripe.v1.refunds.list({"payment_intent": intent.id}).data
    assert [refund.id for refund in listed] == [rest.id, first.id]
    assert [refund.id for refund in sandbox.stripe.v1.refunds.list({"charge": charge.id}).data] == [rest.id, first.id]


def test_nothing_to_refund(sandbox: Sandbox) -> None:
    untried = sandbox.new_intent()
    declined = sandbox.new_intent()
    with pytest.raises(stripe.CardError):
        sandbox.intents.confirm(declined.id, {"payment_method": "pm_card_chargeDeclined"})
    for intent in (untried, declined):
        with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
            sandbox.stripe.v1.refunds.create({"payment_intent": intent.id})


def test_bad_refunds(sandbox: Sandbox) -> None:
    intent, other = paid_intent(sandbox), paid_intent(sandbox)
    cases: list[tuple[dict[str, Any], str | None, int]] = [
        ({}, None, 400),
        ({"payment_intent": "pi_nothing"}, "resource_missing", 404),
        ({"charge": "ch_nothing"}, "resource_missing", 404),
        ({"payment_intent": intent.id, "charge": other.latest_charge}, None, 400),
        ({"payment_intent": intent.id, "amount": 0}, "parameter_invalid_integer", 400),
        ({"payment_intent": intent.id, "reason": "whim"}, None, 400),
    ]
    for form, code, status in cases:
        answer = sandbox.call("POST", "/v1/refunds", form)
        assert (answer.status, answer.body["error"].get("code")) == (status, code), form
    assert sandbox.stripe.v1.refunds.list({"payment_intent": intent.id}).data == []


def test_a_refund_that_fails_later(sandbox: Sandbox, endpoint: Endpoint) -> None:
    sandbox.faults(settle_delay_ms=600_000)
    intent = paid_intent(sandbox, card="pm_card_refundFail")
    refund = sandbox.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 1000})
    assert (refund.status, "failure_reason" in refund.to_dict()) == ("succeeded", False)
    in_between = sandbox.stripe.v1.charges.retrieve(str(intent.latest_charge))
    assert in_between.amount_refunded == 1000
    sandbox.faults(settle_delay_ms=0)
    refunds = sandbox.stripe.v1.refunds
    wait_until(lambda: refunds.retrieve(refund.id).status == "failed", "the bank does not take it")

    failed = refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction"]})
    assert failed.failure_reason == "expired_or_canceled_card"
    returned = failed.failure_balance_transaction
    assert isinstance(returned, stripe.BalanceTransaction)
    assert (returned.type, returned.net, returned.source) == ("refund_failure", 1000, refund.id)
    charge = sandbox.stripe.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    endpoint.wait_for(intent.id, 8)
    assert sandbox.events_of(intent.id)[-3:] == ["refund.updated", "charge.refund.updated", "refund.failed"]
    updated = next(r.event for r in endpoint.received if r.event["type"] == "refund.updated" and refund.id in str(r))
    assert updated["data"]["previous_attributes"] == {
        "status": "succeeded",
        "failure_reason": None,
        "failure_balance_transaction": None,
    }
    # The money is there to be sent again, and the bank fails that too.
    assert refunds.create({"payment_intent": intent.id}).amount == 2500


def test_a_refund_that_takes_its_time(sandbox: Sandbox) -> None:
    sandbox.faults(settle_delay_ms=0)
    intent = paid_intent(sandbox, card="pm_card_pendingRefund")
    refund = sandbox.stripe.v1.refunds.create({"payment_intent": intent.id})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    refunds = sandbox.stripe.v1.refunds
    wait_until(lambda: refunds.retrieve(refund.id).status == "succeeded", "the bank has taken it")
    assert "pending_reason" not in refunds.retrieve(refund.id).to_dict()
    assert sandbox.events_of(intent.id)[-2:] == ["refund.updated", "charge.refund.updated"]


def test_a_test_plays_the_bank(sandbox: Sandbox) -> None:
    sandbox.faults(settle_delay_ms=600_000)
    intent = paid_intent(sandbox, card="pm_card_pendingRefund")
    pending = sandbox.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 500})
    waiting = sandbox.state()["to_settle"]
    assert settle(sandbox, pending.id, "fail").body["status"] == "failed"
    assert sandbox.state()["to_settle"] == waiting - 1
    for outcome in ("succeed", "fail"):
        assert settle(sandbox, pending.id, outcome).status == 400
    taken = sandbox.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 500})
    assert settle(sandbox, taken.id, "succeed").body["status"] == "succeeded"
    # A bank may send back money weeks later, from whatever card.
    ordinary = sandbox.stripe.v1.refunds.create({"payment_intent": paid_intent(sandbox).id})
    assert settle(sandbox, ordinary.id, "succeed").status == 400
    assert settle(sandbox, ordinary.id, "fail").body["failure_reason"] == "expired_or_canceled_card"
    assert settle(sandbox, "re_nothing", "fail").status == 404
    assert settle(sandbox, taken.id, "maybe").status == 400
    sandbox.faults(settle_delay_ms=0)
    assert sandbox.stripe.v1.refunds.retrieve(pending.id).status == "failed"


def test_what_is_not_settled_survives_a_kill(state_path: Path) -> None:
    with Sandbox(state_path) as sandbox:
        sandbox.faults(settle_delay_ms=600_000)
        intent = paid_intent(sandbox, card="pm_card_refundFail")
        refund = sandbox.stripe.v1.refunds.create({"payment_intent": intent.id})
        sandbox.kill()
        sandbox.restart()  # with the usual delay of a second
        refunds = sandbox.stripe.v1.refunds
        wait_until(lambda: refunds.retrieve(refund.id).status == "failed", "it is settled after the restart")


def test_amounts_in_messages_have_their_currencys_decimals() -> None:
    texts = [money_text(123_456, currency) for currency in ("usd", "jpy", "kwd", "chf")]
    assert texts == ["$1,234.56", "JPY 123,456", "KWD 123.456", "CHF 1,234.56"]

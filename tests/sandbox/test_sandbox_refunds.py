"""Money going back."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from tests.sandbox.harness import Sandbox


def paid_intent(sandbox: Sandbox, amount: int = 2500) -> stripe.PaymentIntent:
    return sandbox.new_intent(amount, payment_method="pm_card_visa", confirm=True)


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

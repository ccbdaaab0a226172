"""Cards that are declined."""

from __future__ import annotations

import pytest
import stripe

from tests.sandbox.harness import Sandbox, error_of

DECLINES = [
    ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
    ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
    ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
    ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
    ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
    ("pm_card_chargeDeclinedFraudulent", "card_declined", "fraudulent"),
    ("pm_card_visa_chargeDeclinedVelocityLimitExceeded", "card_declined", "card_velocity_exceeded"),
    ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
    ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
]


@pytest.mark.parametrize(("name", "code", "decline_code"), DECLINES)
def test_a_declined_card(sandbox: Sandbox, name: str, code: str, decline_code: str) -> None:
    intent = sandbox.new_intent()
    with pytest.raises(stripe.CardError) as declined:
        sandbox.intents.confirm(intent.id, {"payment_method": name})
    assert (declined.value.http_status, declined.value.code) == (402, code)
    error = error_of(declined)
    assert (error.type, error.decline_code) == ("card_error", decline_code)
    assert error.message
    assert error.payment_intent.id == intent.id
    assert error.payment_intent.last_payment_error.code == code
    assert error.payment_intent.last_payment_error.decline_code == decline_code

    left = sandbox.intents.retrieve(intent.id)
    assert (left.status, left.payment_method, left.amount_received) == ("requires_payment_method", None, 0)
    assert left.latest_charge == error.charge
    charge = sandbox.stripe.v1.charges.retrieve(error.charge)
    assert (charge.status, charge.paid, charge.captured, charge.failure_code) == ("failed", False, False, code)
    assert charge.outcome is not None
    assert charge.outcome.reason == decline_code
    assert sandbox.events_of(intent.id) == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]


def test_another_card_may_be_tried(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent()
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            sandbox.intents.confirm(intent.id, {"payment_method": "pm_card_visa_chargeDeclined"})
    paid = sandbox.intents.confirm(intent.id, {"payment_method": "pm_card_mastercard"})
    assert (paid.status, paid.last_payment_error) == ("succeeded", None)
    charges = sandbox.stripe.v1.charges.list({"payment_intent": intent.id}).data
    assert [charge.status for charge in charges] == ["succeeded", "failed", "failed"]
    assert charges[0].id == paid.latest_charge


def test_a_decline_on_create_leaves_an_intent(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.CardError) as declined:
        sandbox.new_intent(payment_method="pm_card_chargeDeclined", confirm=True)
    intent = sandbox.intents.retrieve(error_of(declined).payment_intent.id)
    assert intent.status == "requires_payment_method"


def test_an_unknown_payment_method(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent()
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        sandbox.intents.confirm(intent.id, {"payment_method": "pm_nobodys"})
    assert (unknown.value.code, unknown.value.param, unknown.value.http_status) == (
        "resource_missing",
        "payment_method",
        400,
    )
    assert sandbox.intents.retrieve(intent.id).status == "requires_payment_method"
    assert sandbox.events_of(intent.id) == ["payment_intent.created"]

"""PaymentIntents as the official SDK sees them."""

from __future__ import annotations

import pytest
import stripe

from tests.sandbox.harness import Sandbox, error_of


def test_a_payment_from_creation_to_charge(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(2500, metadata={"order_id": "42"}, description="Two seats")
    assert intent.id.startswith("pi_")
    assert intent.client_secret is not None
    assert intent.client_secret.startswith(f"{intent.id}_secret_")
    assert (intent.status, intent.amount, intent.currency) == ("requires_payment_method", 2500, "eur")
    assert intent.payment_method_types == ["card"]
    assert (intent.latest_charge, intent.amount_received) == (None, 0)

    paid = sandbox.intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert (paid.status, paid.amount_received, paid.last_payment_error) == ("succeeded", 2500, None)
    assert paid.metadata.to_dict() == {"order_id": "42"}
    assert sandbox.intents.retrieve(intent.id).to_dict() == paid.to_dict()

    assert isinstance(paid.latest_charge, str)
    charge = sandbox.stripe.v1.charges.retrieve(paid.latest_charge)
    assert charge.id.startswith("ch_")
    assert (charge.status, charge.paid, charge.captured, charge.refunded) == ("succeeded", True, True, False)
    assert (charge.amount, charge.amount_captured, charge.currency) == (2500, 2500, "eur")
    assert charge.payment_intent == intent.id
    assert charge.metadata.to_dict() == {"order_id": "42"}
    assert charge.payment_method_details is not None
    assert charge.payment_method_details.card is not None
    assert charge.payment_method_details.card.last4 == "4242"
    assert [c.id for c in sandbox.stripe.v1.charges.list({"payment_intent": intent.id}).data] == [charge.id]
    assert sandbox.events_of(intent.id) == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


@pytest.mark.parametrize(
    ("name", "brand", "funding"),
    [
        ("pm_card_visa", "visa", "credit"),
        ("pm_card_visa_debit", "visa", "debit"),
        ("pm_card_mastercard", "mastercard", "credit"),
        ("pm_card_amex", "amex", "credit"),
    ],
)
def test_create_and_confirm_in_one_call(sandbox: Sandbox, name: str, brand: str, funding: str) -> None:
    intent = sandbox.new_intent(payment_method=name, confirm=True)
    assert intent.status == "succeeded"
    assert isinstance(intent.payment_method, str)
    method = sandbox.stripe.v1.payment_methods.retrieve(intent.payment_method)
    assert method.id.startswith("pm_")
    assert method.id != name
    assert method.card is not None
    assert (method.type, method.card.brand, method.card.funding) == ("card", brand, funding)


def test_a_payment_method_waits_for_the_confirm(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(payment_method="pm_card_visa")
    assert intent.status == "requires_confirmation"
    assert sandbox.intents.confirm(intent.id).status == "succeeded"


def test_expand(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True, expand=["latest_charge", "payment_method"])
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.payment_intent == intent.id
    assert isinstance(intent.payment_method, stripe.PaymentMethod)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        sandbox.intents.retrieve(intent.id, {"expand": ["customer"]})


def test_update_merges_metadata_and_unsets(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(metadata={"order_id": "1", "seat": "A1"}, description="x")
    updated = sandbox.intents.update(intent.id, {"metadata": {"seat": "", "row": "7"}, "description": ""})
    assert updated.metadata.to_dict() == {"order_id": "1", "row": "7"}
    assert updated.description is None
    assert sandbox.intents.update(intent.id, {"metadata": ""}).metadata.to_dict() == {}


def test_cancel(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent()
    canceled = sandbox.intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert canceled.canceled_at is not None
    assert sandbox.events_of(intent.id) == ["payment_intent.created", "payment_intent.canceled"]
    for act in (sandbox.intents.cancel, sandbox.intents.confirm):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            act(intent.id)
        assert (refused.value.code, refused.value.http_status) == ("payment_intent_unexpected_state", 400)


def test_a_succeeded_intent_is_neither_confirmed_nor_canceled(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True)
    for act in (sandbox.intents.cancel, sandbox.intents.confirm):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            act(intent.id)
        assert (refused.value.code, refused.value.http_status) == ("payment_intent_unexpected_state", 400)
        assert error_of(refused).payment_intent.status == "succeeded"
    assert len(sandbox.stripe.v1.charges.list({"payment_intent": intent.id}).data) == 1


def test_confirm_needs_a_payment_method(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.intents.confirm(intent.id)
    assert refused.value.code == "payment_intent_unexpected_state"


def test_lists_are_paged_newest_first(sandbox: Sandbox) -> None:
    made = [sandbox.new_intent().id for _ in range(5)]
    first = sandbox.intents.list({"limit": 2})
    assert ([i.id for i in first.data], first.has_more) == ([made[4], made[3]], True)
    second = sandbox.intents.list({"limit": 2, "starting_after": made[3]})
    assert [i.id for i in second.data] == [made[2], made[1]]
    back = sandbox.intents.list({"limit": 2, "ending_before": made[1]})
    assert [i.id for i in back.data] == [made[3], made[2]]
    since = sandbox.intents.retrieve(made[0]).created
    seen = [i.id for i in sandbox.intents.list({"limit": 3, "created": {"gte": since}}).auto_paging_iter()]
    assert seen[:5] == made[::-1]
    assert sandbox.intents.list({"created": {"lt": 1_000_000_000}}).data == []


@pytest.mark.parametrize("kind", ["payment_intents", "charges", "refunds", "payment_methods", "events"])
def test_what_does_not_exist(sandbox: Sandbox, kind: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        getattr(sandbox.stripe.v1, kind).retrieve("xx_nothing")
    assert (missing.value.code, missing.value.http_status) == ("resource_missing", 404)

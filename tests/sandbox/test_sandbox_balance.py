"""What charges and refunds do to the balance, and `expand[]`."""

from __future__ import annotations

import pytest
import stripe

from sandbox.ledger import charge_fee
from tests.sandbox.harness import Sandbox


def balance_of(sandbox: Sandbox, currency: str) -> int:
    """What is available, in minor units."""
    available = sandbox.stripe.v1.balance.retrieve().available
    return next((money.amount for money in available if money.currency == currency), 0)


@pytest.mark.parametrize(
    ("amount", "fee"),
    [(2500, 63), (10_000, 175), (1, 1), (25, 25), (26, 25), (33, 25), (34, 26), (100, 27), (99_999_999, 1_500_025)],
)
def test_the_fee_is_rounded_half_up_and_never_more_than_the_charge(amount: int, fee: int) -> None:
    assert charge_fee(amount) == fee


def test_a_charge_has_a_balance_transaction(sandbox: Sandbox) -> None:
    before = balance_of(sandbox, "sek")
    intent = sandbox.new_intent(
        10_000,
        currency="sek",
        payment_method="pm_card_visa",
        confirm=True,
        description="Two seats",
        expand=["latest_charge.balance_transaction"],
    )
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    booked = charge.balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction)
    assert booked.id.startswith("txn_")
    assert (booked.object, booked.type, booked.reporting_category) == ("balance_transaction", "charge", "charge")
    assert (booked.amount, booked.fee, booked.net, booked.currency) == (10_000, 175, 9_825, "sek")
    assert [(fee.amount, fee.currency, fee.type) for fee in booked.fee_details] == [(175, "sek", "stripe_fee")]
    assert (booked.source, booked.status, booked.available_on) == (charge.id, "available", booked.created)
    assert booked.description == "Two seats"
    assert sandbox.stripe.v1.balance_transactions.retrieve(booked.id).to_dict() == booked.to_dict()
    assert balance_of(sandbox, "sek") == before + 9_825
    assert sandbox.state()["balance"]["sek"] == before + 9_825


def test_a_declined_charge_moves_nothing(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent()
    with pytest.raises(stripe.CardError):
        sandbox.intents.confirm(intent.id, {"payment_method": "pm_card_chargeDeclined"})
    [charge] = sandbox.stripe.v1.charges.list({"payment_intent": intent.id}).data
    assert charge.balance_transaction is None
    assert sandbox.stripe.v1.balance_transactions.list({"source": charge.id}).data == []


def test_a_refund_takes_its_amount_and_leaves_the_fee(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(10_000, currency="dkk", payment_method="pm_card_visa", confirm=True)
    before = balance_of(sandbox, "dkk")
    refund = sandbox.stripe.v1.refunds.create(
        {"payment_intent": intent.id, "amount": 4_000, "expand": ["balance_transaction", "charge.balance_transaction"]}
    )
    booked = refund.balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction)
    assert (booked.type, booked.amount, booked.fee, booked.net) == ("refund", -4_000, 0, -4_000)
    assert (booked.source, booked.fee_details) == (refund.id, [])
    assert isinstance(refund.charge, stripe.Charge)
    assert isinstance(refund.charge.balance_transaction, stripe.BalanceTransaction)
    assert balance_of(sandbox, "dkk") == before - 4_000


def test_transactions_are_listed_by_type_source_and_time(sandbox: Sandbox) -> None:
    transactions = sandbox.stripe.v1.balance_transactions
    intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True)
    refund = sandbox.stripe.v1.refunds.create({"payment_intent": intent.id})
    charge_id = str(intent.latest_charge)
    [of_charge] = transactions.list({"source": charge_id}).data
    [of_refund] = transactions.list({"source": refund.id, "type": "refund"}).data
    assert transactions.list({"source": refund.id, "type": "charge"}).data == []
    newest = [booked.id for booked in transactions.list({"created": {"gte": of_charge.created}, "limit": 2}).data]
    assert newest == [of_refund.id, of_charge.id]
    after = transactions.list({"starting_after": of_refund.id, "limit": 1})
    assert ([booked.id for booked in after.data], after.has_more) == ([of_charge.id], True)
    assert transactions.list({"created": {"lt": of_charge.created}, "source": charge_id}).data == []


@pytest.mark.parametrize("act", ["create", "confirm", "retrieve", "cancel"])
def test_an_intent_shows_its_charge_with_the_transaction(sandbox: Sandbox, act: str) -> None:
    expand = ["latest_charge", "latest_charge.balance_transaction"]
    if act == "create":
        intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True, expand=expand)
    elif act == "cancel":
        intent = sandbox.intents.cancel(sandbox.new_intent().id, {"expand": expand})
        assert (intent.status, intent.latest_charge) == ("canceled", None)
        return
    else:
        unpaid = sandbox.new_intent(payment_method="pm_card_visa")
        intent = sandbox.intents.confirm(unpaid.id, {"expand": expand})
        if act == "retrieve":
            intent = sandbox.intents.retrieve(unpaid.id, {"expand": expand})
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert isinstance(intent.latest_charge.balance_transaction, stripe.BalanceTransaction)


def test_charges_and_lists_expand_too(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True, transfer_group="order-7")
    charge = sandbox.stripe.v1.charges.retrieve(
        str(intent.latest_charge), {"expand": ["balance_transaction", "payment_intent.latest_charge"]}
    )
    assert isinstance(charge.balance_transaction, stripe.BalanceTransaction)
    assert isinstance(charge.payment_intent, stripe.PaymentIntent)
    assert isinstance(charge.payment_intent.latest_charge, stripe.Charge)
    assert (charge.transfer_group, charge.payment_intent.transfer_group) == ("order-7", "order-7")
    [listed] = sandbox.stripe.v1.charges.list(
        {"payment_intent": intent.id, "expand": ["data.balance_transaction"]}
    ).data
    assert isinstance(listed.balance_transaction, stripe.BalanceTransaction)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/charges", "balance_transaction"),
        ("/v1/charges", "data"),
        ("/v1/charges", "data.customer"),
        ("/v1/payment_intents", "data.latest_charge.payment_intent.latest_charge.payment_intent.latest_charge"),
        ("/v1/events", "data.request"),
    ],
)
def test_what_cannot_be_expanded(sandbox: Sandbox, path: str, name: str) -> None:
    answer = sandbox.call("GET", f"{path}?expand[]={name}")
    assert (answer.status, answer.body["error"]["param"]) == (400, "expand")
    assert name in answer.body["error"]["message"]


def test_an_unknown_transaction(sandbox: Sandbox) -> None:
    answer = sandbox.call("GET", "/v1/balance_transactions/txn_nothing")
    assert (answer.status, answer.body["error"]["code"]) == (404, "resource_missing")
    assert sandbox.call("GET", "/v1/balance?colour=red").status == 400
    assert sandbox.call("GET", "/v1/balance_transactions?payout=po_1").status == 400


def test_charges_are_listed_by_time(sandbox: Sandbox) -> None:
    charges = sandbox.stripe.v1.charges
    intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True, metadata={"order_id": "9"})
    charge = charges.retrieve(str(intent.latest_charge))
    assert charge.metadata.to_dict() == {"order_id": "9"}
    at = charge.created
    for comparison, value, found in [
        ("gte", at, True),
        ("gt", at - 1, True),
        ("lte", at, True),
        ("lt", at + 1, True),
        ("gt", at, False),
        ("lt", at, False),
    ]:
        listed = sandbox.call("GET", f"/v1/charges?payment_intent={intent.id}&created[{comparison}]={value}")
        assert [one["id"] for one in listed.body["data"]] == ([charge.id] if found else []), comparison
    second = sandbox.new_intent(payment_method="pm_card_visa", confirm=True)
    page = charges.list({"ending_before": charge.id, "limit": 1})
    assert page.data[0].id == second.latest_charge

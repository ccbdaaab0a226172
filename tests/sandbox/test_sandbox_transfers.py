"""Money to connected accounts, and back."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import stripe

from tests.sandbox.harness import Endpoint, Sandbox, wait_until
from tests.sandbox.test_sandbox_accounts import new_account
from tests.sandbox.test_sandbox_balance import balance_of


def seller(sandbox: Sandbox) -> str:
    """An account that can be paid."""
    account_id = new_account(sandbox).id
    assert sandbox.call("POST", f"/_sandbox/accounts/{account_id}/onboard", {}).status == 200
    return account_id


def charge_of(sandbox: Sandbox, amount: int, currency: str, **more: Any) -> str:
    intent = sandbox.new_intent(amount, currency=currency, payment_method="pm_card_visa", confirm=True, **more)
    return str(intent.latest_charge)


def send(sandbox: Sandbox, destination: str, amount: int, currency: str, **more: Any) -> stripe.Transfer:
    parameters: Any = {"amount": amount, "currency": currency, "destination": destination, **more}
    return sandbox.stripe.v1.transfers.create(parameters)


def test_a_transfer_of_a_charge(sandbox: Sandbox, endpoint: Endpoint) -> None:
    destination, charge_id = seller(sandbox), charge_of(sandbox, 10_000, "nok")
    before = balance_of(sandbox, "nok")
    transfer = send(
        sandbox,
        destination,
        6_000,
        "nok",
        source_transaction=charge_id,
        metadata={"order_id": "42"},
        description="Order 42",
        expand=["balance_transaction", "destination", "source_transaction"],
    )
    assert transfer.id.startswith("tr_")
    assert (transfer.object, transfer.amount, transfer.currency) == ("transfer", 6_000, "nok")
    assert (transfer.amount_reversed, transfer.reversed, transfer.reversals.data) == (0, False, [])
    assert (transfer.description, transfer.metadata.to_dict()) == ("Order 42", {"order_id": "42"})
    assert isinstance(transfer.destination, stripe.Account)
    assert isinstance(transfer.source_transaction, stripe.Charge)
    assert transfer.transfer_group == f"group_{transfer.source_transaction.payment_intent}"
    assert transfer.source_transaction.transfer_group == transfer.transfer_group
    booked = transfer.balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction)
    assert (booked.type, booked.amount, booked.fee, booked.source) == ("transfer", -6_000, 0, transfer.id)
    assert balance_of(sandbox, "nok") == before - 6_000

    transfers = sandbox.stripe.v1.transfers
    again = transfers.retrieve(transfer.id)
    assert (again.destination, again.source_transaction) == (destination, charge_id)
    group = str(transfer.transfer_group)
    for wanted in ({"destination": destination}, {"transfer_group": group, "created": {"gte": transfer.created}}):
        parameters: Any = wanted
        assert [one.id for one in transfers.list(parameters).data] == [transfer.id]
    assert transfers.list({"destination": destination, "created": {"lt": transfer.created}}).data == []
    wait_until(lambda: transfer.id in str(endpoint.received), "transfer.created arrives")
    received = next(r.event for r in endpoint.received if transfer.id in str(r))
    assert (received["type"], received["data"]["object"]) == ("transfer.created", again.to_dict())
    assert "account" not in received


def test_a_charge_is_sent_on_at_most_once(sandbox: Sandbox) -> None:
    destination, charge_id = seller(sandbox), charge_of(sandbox, 1_000, "eur", transfer_group="order-5")
    first = send(sandbox, destination, 700, "eur", source_transaction=charge_id)
    assert first.transfer_group == "order-5"
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        send(sandbox, destination, 301, "eur", source_transaction=charge_id)
    assert (too_much.value.http_status, too_much.value.param) == (400, "source_transaction")
    assert str(too_much.value.user_message) == (
        "Transfers using this transaction as a source must not exceed the source amount of €10.00. "
        "(There is already a transfer using this source, amounting to €7.00.)"
    )
    send(sandbox, destination, 300, "eur", source_transaction=charge_id)
    sandbox.stripe.v1.transfers.reversals.create(first.id, {"amount": 50})
    send(sandbox, destination, 50, "eur", source_transaction=charge_id)
    assert sandbox.stripe.v1.transfers.list({"transfer_group": "order-5", "limit": 1}).has_more is True


def test_a_transfer_needs_an_account_that_can_take_it(sandbox: Sandbox) -> None:
    charge_id = charge_of(sandbox, 1_000, "eur")
    without = sandbox.stripe.v1.accounts.create({"type": "express"})
    assert sandbox.call("POST", f"/_sandbox/accounts/{without.id}/onboard", {}).status == 200
    for destination in (new_account(sandbox).id, without.id):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            send(sandbox, destination, 100, "eur", source_transaction=charge_id)
        assert (refused.value.code, refused.value.http_status) == ("insufficient_capabilities_for_transfer", 400)
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        send(sandbox, "acct_nothing", 100, "eur")
    assert (unknown.value.code, unknown.value.param) == ("resource_missing", "destination")


def test_a_transfer_of_no_charge_needs_the_balance(sandbox: Sandbox) -> None:
    destination = seller(sandbox)
    charge_of(sandbox, 10_000, "isk")
    left = balance_of(sandbox, "isk")
    options: Any = {"idempotency_key": uuid.uuid4().hex}
    parameters: Any = {"amount": left, "currency": "isk", "destination": destination, "transfer_group": "g"}
    transfers = sandbox.stripe.v1.transfers
    first = transfers.create(parameters, options)
    assert transfers.create(parameters, options).id == first.id
    assert balance_of(sandbox, "isk") == 0
    with pytest.raises(stripe.InvalidRequestError) as refused:
        send(sandbox, destination, 1, "isk")
    assert (refused.value.code, refused.value.http_status) == ("balance_insufficient", 400)
    # What a charge brought can be sent on whole, although Stripe's fee is gone from it.
    send(sandbox, destination, 500, "isk", source_transaction=charge_of(sandbox, 500, "isk"))
    assert balance_of(sandbox, "isk") == -33


def test_bad_transfers(sandbox: Sandbox) -> None:
    good = {"amount": "100", "currency": "eur", "destination": seller(sandbox)}
    declined = sandbox.new_intent()
    with pytest.raises(stripe.CardError):
        sandbox.intents.confirm(declined.id, {"payment_method": "pm_card_chargeDeclined"})
    [failed] = sandbox.stripe.v1.charges.list({"payment_intent": declined.id}).data
    cases: list[tuple[dict[str, str], str | None, str]] = [
        ({"amount": "0"}, "parameter_invalid_integer", "amount"),
        ({"currency": "zzz"}, None, "currency"),
        ({"destination": ""}, "parameter_invalid_empty", "destination"),
        ({"source_transaction": declined.id}, "resource_missing", "source_transaction"),
        ({"source_transaction": failed.id}, None, "source_transaction"),
        ({"source_transaction": charge_of(sandbox, 100, "usd")}, None, "currency"),
        ({"source_type": "card"}, "parameter_unknown", "source_type"),
    ]
    before = sandbox.state()["transfers"]
    for change, code, param in cases:
        answer = sandbox.call("POST", "/v1/transfers", good | change)
        error = answer.body["error"]
        assert (answer.status, error.get("code"), error["param"]) == (400, code, param), change
    assert sandbox.state()["transfers"] == before
    assert sandbox.call("GET", "/v1/transfers/tr_nothing").body["error"]["code"] == "resource_missing"


def test_reversals_in_parts(sandbox: Sandbox, endpoint: Endpoint) -> None:
    charge_id = charge_of(sandbox, 5_000, "pln")
    transfer = send(sandbox, seller(sandbox), 3_000, "pln", source_transaction=charge_id)
    before = balance_of(sandbox, "pln")
    reversals = sandbox.stripe.v1.transfers.reversals
    first = reversals.create(
        transfer.id, {"amount": 1_000, "metadata": {"refund": "1"}, "expand": ["balance_transaction"]}
    )
    assert first.id.startswith("trr_")
    assert (first.object, first.amount, first.currency, first.transfer) == (
        "transfer_reversal",
        1_000,
        "pln",
        transfer.id,
    )
    booked = first.balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction)
    assert (booked.type, booked.reporting_category, booked.net) == ("transfer_refund", "transfer_reversal", 1_000)
    assert balance_of(sandbox, "pln") == before + 1_000
    partly = sandbox.stripe.v1.transfers.retrieve(transfer.id)
    assert (partly.amount_reversed, partly.reversed) == (1_000, False)
    assert [one.id for one in partly.reversals.data] == [first.id]
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        reversals.create(transfer.id, {"amount": 2_001})
    assert (too_much.value.param, too_much.value.http_status) == ("amount", 400)
    rest = reversals.create(transfer.id)
    assert rest.amount == 2_000
    whole = sandbox.stripe.v1.transfers.retrieve(transfer.id)
    assert (whole.amount_reversed, whole.reversed, whole.reversals.has_more) == (3_000, True, False)
    with pytest.raises(stripe.InvalidRequestError, match="already fully reversed"):
        reversals.create(transfer.id)

    listed = reversals.list(transfer.id, {"limit": 1})
    assert ([one.id for one in listed.data], listed.has_more) == ([rest.id], True)
    assert [one.id for one in listed.auto_paging_iter()] == [rest.id, first.id]
    assert reversals.retrieve(transfer.id, first.id).metadata is not None
    other = send(sandbox, seller(sandbox), 100, "pln", source_transaction=charge_id)
    assert reversals.list(other.id).data == []
    assert sandbox.call("GET", f"/v1/transfers/{other.id}/reversals/{first.id}").status == 404
    assert sandbox.call("POST", "/v1/transfers/tr_nothing/reversals", {}).status == 404

    def reversed_events() -> list[Any]:
        events = [received.event for received in list(endpoint.received)]
        return [one["data"] for one in events if one["type"] == "transfer.reversed" and transfer.id in str(one)]

    wait_until(lambda: len(reversed_events()) == 2, "both reversals are told")
    told = {
        data["object"]["amount_reversed"]: data["previous_attributes"]["amount_reversed"] for data in reversed_events()
    }
    assert told == {1_000: 0, 3_000: 1_000}


def test_many_reversals_do_not_swell_their_transfer(sandbox: Sandbox) -> None:
    transfer = send(sandbox, seller(sandbox), 20, "eur", source_transaction=charge_of(sandbox, 20, "eur"))
    for _ in range(12):
        sandbox.stripe.v1.transfers.reversals.create(transfer.id, {"amount": 1})
    shown = sandbox.call("GET", f"/v1/transfers/{transfer.id}").body["reversals"]
    assert (len(shown["data"]), shown["has_more"], shown["total_count"]) == (10, True, 12)
    assert len(list(sandbox.stripe.v1.transfers.retrieve(transfer.id).reversals.auto_paging_iter())) == 12

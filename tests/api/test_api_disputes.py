"""Disputes over HTTP: who sees them, what happened, and the words that answer them."""

from __future__ import annotations

from typing import Any

import pytest

from api import limits
from api.limits import Rule
from tests.api.conftest import OpenHouse
from tests.api.house import EVENT, House
from tests.api.test_api_refunds import OPEN, administrator, bought, dispute, give_back, move_money, some


def facts(answer: Any) -> list[tuple[str, str]]:
    """The timeline of the only dispute: types and subjects."""
    (found,) = answer.body["items"]
    return [(item["type"], item["subject"]) for item in found["timeline"]]


async def test_sellers_and_the_house_see_them_and_nobody_else(house: House) -> None:
    admin, seller, buyer, other = [
        await administrator(house), await house.person(), await house.person(), await house.person()
    ]  # fmt: skip
    order = await bought(house, buyer, (await house.listing(seller), 1))
    path = f"/orders/{order['id']}/disputes"
    for who in (seller, admin):
        assert (await house.call("GET", path, token=who.token)).body == {"items": [], "next_cursor": None}
    await dispute(house, order["id"])
    for who in (seller, admin):
        answer = await house.call("GET", path, token=who.token)
        (found,) = answer.body["items"]
        told = {name: value for name, value in found.items() if name not in ("timeline", "evidence")}
        assert told == {
            "dispute_id": "dp_1",
            "status": "needs_response",
            "reason": "fraudulent",
            "amount": {"amount": 2500, "currency": "EUR"},
            "evidence_due_by": "2030-08-01T00:00:00Z",
        }
        assert answer.headers["Cache-Control"] == "no-store"
    for who in (buyer, other):
        refused = await house.call("GET", path, token=who.token)
        assert (refused.status, refused.code) == (404, "order_not_found")


async def test_the_timeline_is_of_this_order_alone_and_in_log_order(house: House) -> None:
    seller, buyer, other = [await house.person() for _ in range(3)]
    ticket = await house.listing(seller, **OPEN)
    await bought(house, other, (ticket, 1))
    order = await bought(house, buyer, (ticket, 2))
    await bought(house, other, (ticket, 1))
    await give_back(house, buyer, order["id"], some(ticket, 1))
    await move_money(house, order["id"])
    await dispute(house, order["id"])
    await bought(house, other, (ticket, 1))
    answer = await house.call("GET", f"/orders/{order['id']}/disputes", token=seller.token)
    seen = [(type_, {order["id"]: "order", ticket["id"]: "ticket"}[subject]) for type_, subject in facts(answer)]
    assert sorted(seen[:2]) == [("OrderCreated", "order"), ("TicketReserved", "ticket")]
    assert seen[2] == ("OrderAwaitingPayment", "order")
    expected = ["ChargeCreated", "ChargeSettled", "DisputeCreated", "OrderCompleted", "OrderRefunded", "RefundCreated"]
    assert sorted(type_ for type_, kind in seen[2:] if kind == "order") == sorted(["OrderAwaitingPayment", *expected])
    assert [type_ for type_, kind in seen if kind == "ticket"] == ["TicketReserved", "TicketSold", "TicketReturned"]
    (found,) = answer.body["items"]
    positions = [item["position"] for item in found["timeline"]]
    assert positions == sorted(set(positions))
    assert {item["data"]["order_id"] for item in found["timeline"] if item["subject"] == ticket["id"]} == {order["id"]}


async def test_the_evidence_says_it_in_plain_words(house: House) -> None:
    seller, buyer = await house.person("seller"), await house.person("buyer")
    ticket = await house.listing(seller, **OPEN)
    order = await bought(house, buyer, (ticket, 2))
    # What was bought is what it was then.
    moved = {"event": {"venue": "Elsewhere"}, "title": "Something else"}
    assert (await house.call("PATCH", f"/tickets/{ticket['id']}", moved, token=seller.token)).status == 200
    await give_back(house, buyer, order["id"], some(ticket, 1))
    await move_money(house, order["id"])
    await dispute(house, order["id"])
    answer = await house.call("GET", f"/orders/{order['id']}/disputes", token=seller.token)
    (found,) = answer.body["items"]
    at = {item["type"]: item["time"][:16].replace("T", " ") + " UTC" for item in found["timeline"]}
    paid, refund = order["charge_id"], next(i for i in found["timeline"] if i["type"] == "RefundCreated")["data"]
    assert found["evidence"]["text"].splitlines() == [
        f"Order {order['id']} was placed on {at['OrderCreated']} from the customer account {buyer.id}.",
        "It was for:",
        '- 2 x "Category 2" for "Semi-final", 2030-07-14 19:00 UTC, AT&T Stadium: 25.00 EUR each',
        "The whole order came to 50.00 EUR.",
        f"The customer paid 50.00 EUR on {at['ChargeCreated']}: charge {paid}.",
        f'On {at["OrderRefunded"]} 23.00 EUR was decided to go back, at the customer\'s wish, for 1 x "Category 2".',
        f"On {at['RefundCreated']} 23.00 EUR of it was sent back: refund {refund['refund_id']}.",
        "Terms of refund, as they were when the order was placed:",
        '- "Category 2": the customer may give it back until 2030-07-01 00:00 UTC, less 2.00 EUR each.',
    ]
    for person in (seller, buyer):
        assert person.email.encode() not in answer.raw


async def test_a_seller_sees_nothing_of_other_sellers(house: House) -> None:
    ann, ben, buyer = [await house.person() for _ in range(3)]
    hers = await house.listing(ann, title="Hers", price={"amount": 1111, "currency": "EUR"})
    his = await house.listing(
        ben, title="His", event=EVENT | {"name": "His event"}, price={"amount": 777, "currency": "EUR"}
    )
    order = await bought(house, buyer, (hers, 2), (his, 1))
    await give_back(house, ben, order["id"])
    await dispute(house, order["id"])
    path = f"/orders/{order['id']}/disputes"
    answer = await house.call("GET", path, token=ann.token)
    assert [one for one in (ben.id, his["id"], '"His"', "His event") if one.encode() in answer.raw] == []
    assert hers["id"].encode() in answer.raw
    assert "OrderRefunded" not in [type_ for type_, _ in facts(answer)]
    admin = await administrator(house)
    whole = await house.call("GET", path, token=admin.token)
    assert [one for one in (ben.id, his["id"], "His event", hers["id"]) if one.encode() not in whole.raw] == []


async def test_they_are_read_so_often(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DISPUTES_PER_ACCOUNT", Rule(burst=2, per_second=0.1))
    async with open_house(rate_limit=True) as house:
        seller, buyer = await house.person(), await house.person()
        order = await bought(house, buyer, (await house.listing(seller), 1))
        path = f"/orders/{order['id']}/disputes"
        assert [(await house.call("GET", path, token=seller.token)).status for _ in range(3)] == [200] * 3
        await dispute(house, order["id"])
        assert [(await house.call("GET", path, token=seller.token)).status for _ in range(3)] == [200, 200, 429]

"""Orders over HTTP: what is placed, shown, cancelled, refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api.models import Order
from tests.api.conftest import OpenHouse
from tests.api.house import House


async def test_an_order_comes_back_whole(house: House) -> None:
    _, buyer, ticket, order = await house.ordered()
    assert set(order) == set(Order.__struct_fields__)
    price = {"amount": 2500, "currency": "EUR"}
    terms = {"refunded": 0, "refund_until": None, "refund_fee": 0}
    assert order["items"] == [{"ticket_id": ticket["id"], "title": "Category 2", "quantity": 1, "price": price} | terms]
    assert (order["version"], order["status"], order["buyer_id"], order["total"]) == (1, "created", buyer.id, price)
    assert (order["payment_intent_id"], order["charge_id"], order["refund_id"]) == (None, None, None)
    assert order["refunds"] == []
    hold = datetime.fromisoformat(order["expires_at"]) - datetime.fromisoformat(order["created_at"])
    assert hold == timedelta(seconds=900)
    shown = await house.call("GET", f"/orders/{order['id']}", token=buyer.token)
    assert (shown.body, shown.headers["ETag"], shown.headers["Cache-Control"]) == (order, '"1"', "no-store")


async def test_an_order_of_several_listings_is_held_all_or_nothing(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    one, two = await house.listing(seller, quantity=2), await house.listing(seller, quantity=1)

    async def order(first: int, second: int) -> Any:
        items = [{"ticket_id": one["id"], "quantity": first}, {"ticket_id": two["id"], "quantity": second}]
        return await house.call("POST", "/orders", {"items": items}, token=buyer.token)

    refused = await order(1, 2)
    assert (refused.status, refused.code) == (409, "sold_out")
    assert (await house.call("GET", f"/tickets/{one['id']}")).body["held"] == 0
    made = await order(2, 1)
    assert (made.status, made.body["total"]["amount"]) == (201, 7500)
    for ticket in (one, two):
        assert (await house.call("GET", f"/tickets/{ticket['id']}")).body["status"] == "sold_out"


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([], "items"),
        ([{"ticket_id": "T", "quantity": 0}], "items[0].quantity"),
        ([{"ticket_id": "T", "quantity": 101}], "items[0].quantity"),
        ([{"ticket_id": "T", "quantity": 1.0}], "items[0].quantity"),
        ([{"ticket_id": "T"}], "items[0].quantity"),
        ([{"ticket_id": "x", "quantity": 1}], "items[0].ticket_id"),
        ([{"ticket_id": "T", "quantity": 1, "price": 0}], "items[0].price"),
        ([{"ticket_id": "T", "quantity": 1}, {"ticket_id": "T", "quantity": 1}], "items[1].ticket_id"),
        ([{"ticket_id": "T", "quantity": 1}, {"ticket_id": "DOLLARS", "quantity": 1}], "items[1]"),
        ([{"ticket_id": "DEAR", "quantity": 2}], "items"),
        ([{"ticket_id": "T", "quantity": 1}] * 21, "items"),
        (None, "items"),
        ({"ticket_id": "T"}, "items"),
    ],
)
async def test_a_bad_order_names_the_field(house: House, items: Any, field: str) -> None:
    seller, buyer = await house.person(), await house.person()
    ids = {
        "T": (await house.listing(seller))["id"],
        "DOLLARS": (await house.listing(seller, price={"amount": 1, "currency": "USD"}))["id"],
        "DEAR": (await house.listing(seller, price={"amount": 99_999_999, "currency": "EUR"}))["id"],
    }
    if isinstance(items, list):
        items = [item | {"ticket_id": ids.get(item["ticket_id"], item["ticket_id"])} for item in items]
    answer = await house.call("POST", "/orders", {"items": items}, token=buyer.token)
    assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", [field])
    assert (await house.call("GET", f"/tickets/{ids['T']}")).body["held"] == 0


async def test_an_order_of_no_listing_or_ones_own(house: House) -> None:
    seller = await house.person()
    ticket = await house.listing(seller)
    missing = await house.order(seller, str(uuid4()))
    own = await house.order(seller, ticket["id"])
    assert (missing.status, missing.code) == (404, "ticket_not_found")
    assert (own.status, own.code) == (403, "own_ticket")


async def test_an_order_that_costs_nothing_is_completed_at_once(house: House) -> None:
    _, buyer, ticket, order = await house.ordered(price={"amount": 0, "currency": "EUR"})
    assert order["status"] == "completed"
    assert (await house.call("GET", f"/tickets/{ticket['id']}")).body["sold"] == 1
    assert (await house.pay(buyer, order["id"])).code == "order_not_open"


async def test_a_cancelled_order_gives_its_tickets_back(house: House) -> None:
    _, buyer, ticket, order = await house.ordered()
    answer = await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)
    assert (answer.status, answer.body["status"], answer.headers["ETag"]) == (200, "cancelled", '"2"')
    assert (await house.call("GET", f"/tickets/{ticket['id']}")).body["available"] == 5
    again = await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)
    assert (again.status, again.code) == (409, "order_not_open")


@pytest.mark.parametrize("name", ["x", str(uuid4())])
async def test_no_such_order(house: House, name: str) -> None:
    buyer = await house.person()
    for method in ("GET", "DELETE"):
        answer = await house.call(method, f"/orders/{name}", token=buyer.token)
        assert (answer.status, answer.code) == (404, "order_not_found")


async def test_orders_are_listed_newest_first_and_only_ones_own(house: House) -> None:
    seller, buyer, ticket, first = await house.ordered()
    second = (await house.order(buyer, ticket["id"])).body
    await house.project()
    page = await house.call("GET", "/orders?limit=1", token=buyer.token)
    assert page.body["items"] == [second]
    rest = await house.call("GET", f"/orders?limit=1&cursor={page.body['next_cursor']}", token=buyer.token)
    assert rest.body == {"items": [first], "next_cursor": None}
    assert (await house.call("GET", "/orders", token=seller.token)).body["items"] == []
    for query in ("limit=0", "cursor=x", "status=created"):
        answer = await house.call("GET", f"/orders?{query}", token=buyer.token)
        assert (answer.status, answer.fields) == (422, [query.partition("=")[0]])


async def test_an_order_is_read_as_it_was(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)
    then = await house.call("GET", f"/orders/{order['id']}?as_of={order['created_at']}", token=buyer.token)
    assert then.body == order
    now = await house.call("GET", f"/orders/{order['id']}?min_version=2", token=buyer.token)
    assert now.body["status"] == "cancelled"


async def test_the_house_decides_how_long_tickets_are_held(open_house: OpenHouse) -> None:
    async with open_house(hold_seconds=120) as house:
        _, _, _, order = await house.ordered()
        _, _, _, own_way = await house.ordered(hold_seconds=30)
    held = [
        (datetime.fromisoformat(one["expires_at"]) - datetime.fromisoformat(one["created_at"])).total_seconds()
        for one in (order, own_way)
    ]
    assert held == [120, 30]

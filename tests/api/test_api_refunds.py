"""Refunds over HTTP: who may give back what, who sees what of it, what the order tells of its money."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from api.ids import new_id
from api.models import SellersOrder
from domain.aggregate import Cause
from domain.marketplace import Ask
from domain.money import Money
from domain.order import Order
from domain.order_disputes import DisputeWord
from domain.payouts import Dispute, Refund
from tests.api.house import PASSWORD, Answer, House, Person

OPEN = {"refund_until": "2030-07-01T00:00:00Z", "refund_fee": 200}


def asked() -> Ask[Any, Any]:
    """A command of the house itself; its outcome is the aggregate."""
    return Ask(Cause(None, new_id(), new_id()), lambda aggregate: aggregate)


async def bought(house: House, buyer: Person, *wanted: tuple[Any, int]) -> Any:
    """A paid order of so many of these listings, as its buyer sees it."""
    items = [{"ticket_id": ticket["id"], "quantity": quantity} for ticket, quantity in wanted]
    order = await house.call("POST", "/orders", {"items": items}, token=buyer.token)
    assert order.status == 201, order.raw
    assert (await house.pay(buyer, order.body["id"])).status == 201
    return (await house.call("GET", f"/orders/{order.body['id']}", token=buyer.token)).body


async def give_back(house: House, who: Person, order_id: str, body: Any = None, key: str | None = None) -> Answer:
    return await house.call("POST", f"/orders/{order_id}/refund", body or {}, token=who.token, key=key)


def some(ticket: Any, quantity: int) -> dict[str, Any]:
    return {"items": [{"ticket_id": ticket["id"], "quantity": quantity}]}


async def move_money(house: House, order_id: str) -> None:
    """What the worker does: every refund that is decided is made at Stripe."""
    services = house.services
    order: Order = await services.marketplace.look(UUID(order_id), asked())
    for due in order.due_moves():
        assert isinstance(due, Refund)
        made = await services.gateway.refund(order.id, due)
        await services.marketplace.note_refund(order.id, made, asked())


async def administrator(house: House) -> Person:
    person = await house.person("admin")
    await house.services.marketplace.appoint(UUID(person.id), True, asked())
    signed_in = await house.call("POST", "/users/signin", {"email": person.email, "password": PASSWORD})
    person.token = signed_in.body["access_token"]
    return person


async def dispute(house: House, order_id: str, status: str = "needs_response") -> None:
    """The buyer's bank asks the money back, and Stripe tells of it."""
    order: Order = await house.services.marketplace.look(UUID(order_id), asked())
    assert order.charge_id is not None
    told = Dispute("dp_1", order.charge_id, order.total, "fraudulent", status, datetime(2030, 8, 1, tzinfo=UTC))
    await house.services.marketplace.note_dispute(order.id, DisputeWord(told), asked())


async def test_a_buyer_gives_one_of_two_back_less_the_fee(house: House) -> None:
    seller, buyer = await house.person("seller"), await house.person("buyer")
    ticket = await house.listing(seller, **OPEN)
    order = await bought(house, buyer, (ticket, 2))
    item = order["items"][0]
    assert (item["refunded"], item["refund_until"], item["refund_fee"]) == (0, OPEN["refund_until"], 200)
    assert (order["refunds"], order["refund_id"]) == ([], None)

    answer = await give_back(house, buyer, order["id"], some(ticket, 1))
    assert answer.status == 200
    assert answer.headers["ETag"] == f'"{answer.body["version"]}"'
    assert (answer.body["status"], answer.body["items"][0]["refunded"]) == ("completed", 1)
    amount = {"amount": 2300, "currency": "EUR"}
    told = {"number": 1, "amount": amount, "reason": "buyer", "status": "pending", "refund_id": None}
    assert answer.body["refunds"] == [told]
    assert (await house.call("GET", f"/tickets/{ticket['id']}")).body["available"] == 4

    await move_money(house, order["id"])
    from_log = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert from_log["refunds"] == [told | {"status": "succeeded", "refund_id": from_log["refund_id"]}]
    assert from_log["refund_id"].startswith("re_")
    await house.project()
    row = await house.services.queries.order(UUID(order["id"]))
    assert row is not None
    assert row.version == from_log["version"]
    assert (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body == from_log
    assert (await house.call("GET", "/orders", token=buyer.token)).body["items"] == [from_log]


async def test_an_empty_body_gives_back_all_that_is_left(house: House) -> None:
    seller, buyer = await house.person("seller"), await house.person("buyer")
    ticket = await house.listing(seller, **OPEN)
    order = await bought(house, buyer, (ticket, 3))
    await give_back(house, buyer, order["id"], some(ticket, 1))
    rest = await give_back(house, buyer, order["id"])
    assert (rest.status, rest.body["status"], rest.body["items"][0]["refunded"]) == (200, "refunded", 3)
    assert [refund["amount"]["amount"] for refund in rest.body["refunds"]] == [2300, 4600]
    again = await give_back(house, buyer, order["id"])
    assert (again.status, again.code) == (409, "order_not_refundable")


@pytest.mark.parametrize("terms", [{}, {"refund_until": "2020-01-01T00:00:00Z"}], ids=["no terms", "too late"])
async def test_the_terms_bind_the_buyer_and_not_the_seller(house: House, terms: dict[str, Any]) -> None:
    seller, buyer = await house.person("seller"), await house.person("buyer")
    ticket = await house.listing(seller, **terms)
    order = await bought(house, buyer, (ticket, 1))
    refused = await give_back(house, buyer, order["id"])
    assert (refused.status, refused.code) == (403, "refund_not_allowed")
    # The terms of the order hold, not those of today.
    assert (await house.call("PATCH", f"/tickets/{ticket['id']}", OPEN, token=seller.token)).status == 200
    assert (await give_back(house, buyer, order["id"])).code == "refund_not_allowed"
    by_seller = await give_back(house, seller, order["id"])
    assert (by_seller.status, by_seller.body["given_back"]["amount"]) == (200, 2500)
    seen = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert [refund["reason"] for refund in seen["refunds"]] == ["seller"]


async def test_whether_it_is_on_sale_again_is_the_sellers_to_say(house: House) -> None:
    seller, buyer = await house.person("seller"), await house.person("buyer")
    ticket = await house.listing(seller, **OPEN, resell_returned=False)
    order = await bought(house, buyer, (ticket, 3))
    by_buyer = await give_back(house, buyer, order["id"], {"resell": True})
    assert (by_buyer.status, by_buyer.fields) == (422, ["resell"])
    available = []
    for who, more in ((buyer, {}), (seller, {"resell": True}), (seller, {})):
        answer = await give_back(house, who, order["id"], some(ticket, 1) | more)
        assert answer.status == 200, answer.raw
        available.append((await house.call("GET", f"/tickets/{ticket['id']}")).body["available"])
    assert available == [2, 3, 3]


async def test_a_seller_refunds_only_what_is_theirs(house: House) -> None:
    ann, ben, buyer = [await house.person() for _ in range(3)]
    hers = await house.listing(ann, title="Hers", price={"amount": 1111, "currency": "EUR"})
    his = await house.listing(ben, title="His", price={"amount": 777, "currency": "EUR"})
    order = await bought(house, buyer, (hers, 2), (his, 1))
    for body in (some(his, 1), {"items": [*some(hers, 1)["items"], *some(his, 1)["items"]]}):
        refused = await give_back(house, ann, order["id"], body)
        assert (refused.status, refused.code) == (403, "not_owner")
    answer = await give_back(house, ann, order["id"])
    assert answer.status == 200
    seen = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert [item["refunded"] for item in seen["items"]] == [2, 0]
    assert (seen["status"], seen["refunds"][0]["amount"]["amount"]) == ("completed", 2222)


async def test_a_seller_sees_their_part_and_nothing_else(house: House) -> None:
    """Every field is named here: one that is added has to be thought about."""
    ann, ben, buyer = [await house.person() for _ in range(3)]
    hers = await house.listing(ann, title="Hers", price={"amount": 1111, "currency": "EUR"})
    his = await house.listing(ben, title="His", price={"amount": 777, "currency": "EUR"})
    order = await bought(house, buyer, (hers, 2), (his, 1))
    assert (await give_back(house, ben, order["id"])).status == 200
    answer = await give_back(house, ann, order["id"], some(hers, 1))
    item = {
        "ticket_id": hers["id"],
        "title": "Hers",
        "quantity": 2,
        "price": {"amount": 1111, "currency": "EUR"},
        "refunded": 1,
        "refund_until": None,
        "refund_fee": 0,
        "given_back": {"amount": 1111, "currency": "EUR"},
    }
    assert answer.body == {
        "id": order["id"],
        "version": answer.body["version"],
        "status": "completed",
        "items": [item],
        "total": {"amount": 2222, "currency": "EUR"},
        "given_back": {"amount": 1111, "currency": "EUR"},
        "created_at": order["created_at"],
        "updated_at": answer.body["updated_at"],
    }
    assert set(answer.body) == set(SellersOrder.__struct_fields__)
    others = (buyer.id, ben.id, his["id"], "His", order["payment_intent_id"], order["charge_id"], "pi_", "ch_")
    assert [one for one in others if one.encode() in answer.raw] == []
    rest = await give_back(house, ann, order["id"])
    assert rest.body["status"] == "refunded"
    for path in (f"/orders/{order['id']}", f"/orders/{order['id']}/history"):
        assert (await house.call("GET", path, token=ann.token)).code == "order_not_found"


async def test_an_administrator_refunds_for_the_house(house: House) -> None:
    admin, seller, buyer = await administrator(house), await house.person(), await house.person()
    order = await bought(house, buyer, (await house.listing(seller), 2))
    answer = await give_back(house, admin, order["id"], {"resell": False})
    assert (answer.status, answer.body["status"], answer.body["buyer_id"]) == (200, "refunded", buyer.id)
    assert [(one["reason"], one["amount"]["amount"]) for one in answer.body["refunds"]] == [("house", 5000)]


async def test_strangers_and_unpaid_orders(house: House) -> None:
    _, buyer, _, order = await house.ordered(**OPEN)
    stranger = await give_back(house, await house.person(), order["id"])
    assert (stranger.status, stranger.code) == (404, "order_not_found")
    unpaid = await give_back(house, buyer, order["id"])
    assert (unpaid.status, unpaid.code) == (409, "order_not_refundable")


async def test_what_is_not_in_the_order_cannot_be_refunded(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    ticket, other = await house.listing(seller, **OPEN), await house.listing(seller, **OPEN)
    order = await bought(house, buyer, (ticket, 1))
    for wrong in (some(ticket, 2), some(other, 1), some({"id": str(new_id())}, 1)):
        answer = await give_back(house, buyer, order["id"], wrong)
        assert (answer.status, answer.code) == (409, "order_not_refundable"), wrong
    assert (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body == order


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"items": []}, "items"),
        ({"items": [{"ticket_id": str(UUID(int=1)), "quantity": 0}]}, "items[0].quantity"),
        ({"items": [{"ticket_id": str(UUID(int=1)), "quantity": 1}] * 2}, "items[1].ticket_id"),
        ({"resell": 1}, "resell"),
        ({"amount": 5}, "amount"),
    ],
)
async def test_a_bad_refund_names_the_field(house: House, body: dict[str, Any], field: str) -> None:
    _, buyer, _, order = await house.ordered()
    answer = await give_back(house, buyer, order["id"], body)
    assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", [field])


async def test_a_key_gives_back_once(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    ticket = await house.listing(seller, **OPEN)
    order = await bought(house, buyer, (ticket, 3))
    first = await give_back(house, buyer, order["id"], some(ticket, 1), key="k")
    again = await give_back(house, buyer, order["id"], some(ticket, 1), key="k")
    assert (first.status, again.raw, again.headers["Idempotent-Replayed"]) == (200, first.raw, "true")
    reused = await give_back(house, buyer, order["id"], some(ticket, 2), key="k")
    assert (reused.status, reused.code) == (422, "idempotency_key_reused")
    seen = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert (seen["items"][0]["refunded"], len(seen["refunds"])) == (1, 1)


async def test_while_a_bank_decides_nobody_refunds(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    order = await bought(house, buyer, (await house.listing(seller, **OPEN), 1))
    await dispute(house, order["id"])
    for who in (buyer, seller):
        answer = await give_back(house, who, order["id"])
        assert (answer.status, answer.code) == (409, "order_disputed")
    await dispute(house, order["id"], "won")
    assert (await give_back(house, seller, order["id"])).status == 200


async def test_the_buyer_sees_which_end_a_race_took(house: House) -> None:
    """The money of a cancelled order goes back, and the order says why."""
    _, buyer, _, order = await house.ordered()
    intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
    assert (await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)).status == 200
    paid = await house.services.gateway.confirm(intent_id, "pm_card_visa", "late")
    assert paid.charge is not None
    await house.services.marketplace.take_charge(UUID(order["id"]), paid.charge, asked())
    seen = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert (seen["status"], seen["charge_id"]) == ("cancelled", paid.charge.charge_id)
    (refund,) = seen["refunds"]
    amount = msgspec.to_builtins(Money(2500, "EUR"))
    assert (refund["reason"], refund["status"], refund["amount"]) == ("cancelled", "pending", amount)


async def test_what_cost_nothing_is_given_back_for_nothing(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    ticket = await house.listing(seller, price={"amount": 0, "currency": "EUR"}, refund_until=OPEN["refund_until"])
    order = (await house.order(buyer, ticket["id"], 2)).body
    answer = await give_back(house, buyer, order["id"], some(ticket, 1))
    assert (answer.status, answer.body["items"][0]["refunded"], answer.body["refunds"]) == (200, 1, [])
    rest = await give_back(house, seller, order["id"])
    assert (rest.body["status"], rest.body["given_back"]) == ("refunded", {"amount": 0, "currency": "EUR"})
    assert (await house.call("GET", f"/tickets/{ticket['id']}")).body["available"] == 5

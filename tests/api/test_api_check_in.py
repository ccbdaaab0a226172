"""Check-in over HTTP: whose ticket, at which door, once, and what is told of the first time."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

from adapters.house_key import HouseKey
from adapters.ticket_codes import TicketCode, TicketCodes
from tests.api.house import Answer, House, Person
from tests.api.test_api_refunds import administrator, bought, dispute, give_back, some


async def tickets_of(house: House, buyer: Person, order: Any) -> Any:
    return (await house.call("GET", f"/orders/{order['id']}/tickets", token=buyer.token)).body["items"]


async def check_in(house: House, who: Person, code: str, key: str | None = None, **more: Any) -> Answer:
    return await house.call("POST", "/check-ins", {"code": code, **more}, token=who.token, key=key)


async def sold(house: House, quantity: int = 2, **more: Any) -> tuple[Person, Person, Any, Any]:
    """Seller, buyer, listing, and the paid order."""
    seller, buyer = await house.person("seller"), await house.person("buyer")
    ticket = await house.listing(seller, **more)
    return seller, buyer, ticket, await bought(house, buyer, (ticket, quantity))


async def test_a_code_lets_one_in_and_then_says_when_and_where(house: House) -> None:
    seller, buyer, ticket, order = await sold(house)
    first, second = await tickets_of(house, buyer, order)
    assert (first["checked_in"], second["checked_in"]) == (None, None)

    answer = await check_in(house, seller, first["code"], gate="Gate A")
    assert answer.status == 201
    assert (answer.body["order_id"], answer.body["ticket_id"]) == (order["id"], ticket["id"])
    assert (answer.body["number"], answer.body["of"], answer.body["title"]) == (1, 2, ticket["title"])
    assert answer.body["event"] == ticket["event"]
    known = answer.body["checked_in"]
    assert known["gate"] == "Gate A"

    again = await check_in(house, seller, first["code"], gate="Gate B")
    assert (again.status, again.code, again.body["checked_in"]) == (409, "ticket_used", known)
    assert "Gate A" in again.body["detail"]
    assert [one["checked_in"] for one in await tickets_of(house, buyer, order)] == [known, None]
    assert (await house.types(order["id"])).count("CheckInCreated") == 1


async def test_a_typed_code_is_as_good_as_a_scanned_one(house: House) -> None:
    seller, buyer, _, order = await sold(house)
    first, second = await tickets_of(house, buyer, order)
    answer = await check_in(house, seller, f" {second['short_code'].lower().replace('-', ' ')} ")
    assert (answer.status, answer.body["number"], answer.body["checked_in"]["gate"]) == (201, 2, None)
    assert (await check_in(house, seller, second["code"])).code == "ticket_used"
    assert (await check_in(house, seller, first["code"].lower())).status == 201
    assert (await check_in(house, seller, first["short_code"])).code == "ticket_used"


async def test_a_request_that_comes_again_is_one_check_in(house: House) -> None:
    """The phone's network went away before the answer came."""
    seller, buyer, _, order = await sold(house)
    code = (await tickets_of(house, buyer, order))[0]["code"]
    answers = [await check_in(house, seller, code, key="door-1") for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].body == answers[1].body
    assert (await check_in(house, seller, code, key="door-2")).code == "ticket_used"
    refused = [await check_in(house, seller, code, key="door-3") for _ in range(2)]
    assert [answer.body["checked_in"] for answer in refused] == [answers[0].body["checked_in"]] * 2


async def test_at_two_doors_at_once_one_lets_in(house: House) -> None:
    seller, buyer, _, order = await sold(house, 1)
    code = (await tickets_of(house, buyer, order))[0]["code"]
    answers = await asyncio.gather(*(check_in(house, seller, code, gate=f"Gate {n}") for n in range(8)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    (let_in,) = (answer.body["checked_in"] for answer in answers if answer.status == 201)
    assert all(answer.body["checked_in"] == let_in for answer in answers)


async def test_only_the_seller_and_the_house_let_in(house: House) -> None:
    _, buyer, _, order = await sold(house)
    code, other = (one["code"] for one in await tickets_of(house, buyer, order))
    short = (await tickets_of(house, buyer, order))[0]["short_code"]
    for who in (buyer, await house.person("other")):
        for shown in (code, short):
            assert (await check_in(house, who, shown)).code == "order_not_found"
    assert (await house.call("POST", "/check-ins", {"code": code})).status == 401
    assert (await check_in(house, await administrator(house), other)).status == 201


async def test_one_seller_does_not_let_in_with_anothers_ticket(house: House) -> None:
    """Both are in one order."""
    sellers = [await house.person(name) for name in ("anna", "bert")]
    tickets = [await house.listing(seller) for seller in sellers]
    buyer = await house.person("buyer")
    order = await bought(house, buyer, *((ticket, 1) for ticket in tickets))
    codes = {one["ticket_id"]: one["code"] for one in await tickets_of(house, buyer, order)}
    assert (await check_in(house, sellers[0], codes[tickets[1]["id"]])).code == "order_not_found"
    assert (await check_in(house, sellers[0], codes[tickets[0]["id"]])).status == 201
    await dispute(house, order["id"])
    for seller, told in zip(sellers, (True, False), strict=True):
        found = (await house.call("GET", f"/orders/{order['id']}/disputes", token=seller.token)).body["items"][0]
        assert ("CheckInCreated" in [event["type"] for event in found["timeline"]]) == told
        assert ("was used at the entrance" in found["evidence"]["text"]) == told


async def test_a_door_is_for_its_listings(house: House) -> None:
    seller, buyer, ticket, order = await sold(house)
    tonight = await house.listing(seller, title="Tonight")
    code = (await tickets_of(house, buyer, order))[0]["code"]
    wrong = await check_in(house, seller, code, ticket_ids=[tonight["id"]])
    assert (wrong.status, wrong.code) == (409, "wrong_door")
    assert ticket["title"] in wrong.body["detail"]
    assert (await check_in(house, seller, code, ticket_ids=[])).code == "validation_failed"
    assert (await check_in(house, seller, code, ticket_ids=[tonight["id"], ticket["id"]])).status == 201


async def test_what_was_refunded_lets_nobody_in(house: House) -> None:
    seller, buyer, ticket, order = await sold(house, 3, refund_until="2030-07-01T00:00:00Z")
    codes = [one["code"] for one in await tickets_of(house, buyer, order)]
    assert (await check_in(house, seller, codes[2])).status == 201
    assert (await give_back(house, buyer, order["id"], some(ticket, 3))).code == "refund_not_allowed"
    assert (await give_back(house, buyer, order["id"], some(ticket, 1))).status == 200
    assert [one["number"] for one in await tickets_of(house, buyer, order)] == [1, 3]
    assert (await check_in(house, seller, codes[1])).code == "ticket_void"
    # What is left out is all that may be given back: not the one that was used.
    assert (await give_back(house, buyer, order["id"])).status == 200
    assert (await check_in(house, seller, codes[0])).code == "ticket_void"
    assert (await check_in(house, seller, codes[2])).code == "ticket_used"


async def test_codes_that_are_none(house: House) -> None:
    seller, buyer, ticket, order = await sold(house)
    good = (await tickets_of(house, buyer, order))[0]
    elsewhere = TicketCodes(HouseKey(bytes(32))).sign(TicketCode(UUID(order["id"]), UUID(ticket["id"]), 1))
    mistyped = good["short_code"][:-1] + ("0" if good["short_code"][-1] != "0" else "1")
    for code in ("x", "SD1.A.B", good["code"][:-3], elsewhere, mistyped, "....", "https://example.org/"):
        answer = await check_in(house, seller, code)
        assert (answer.status, answer.code) == (400, "bad_ticket_code"), code
    for body in ({}, {"code": ""}, {"code": "x" * 301}, {"code": "x", "gate": ""}, {"code": "x", "gate": "x" * 61}):
        assert (await house.call("POST", "/check-ins", body, token=seller.token)).code == "validation_failed"
    nobodys = house.services.ticket_codes.sign(TicketCode(uuid4(), UUID(ticket["id"]), 1))
    assert (await check_in(house, seller, nobodys)).code == "order_not_found"
    ninth = house.services.ticket_codes.sign(TicketCode(UUID(order["id"]), UUID(ticket["id"]), 9))
    assert (await check_in(house, seller, ninth)).code == "order_not_found"

"""`Idempotency-Key`: one effect and one answer, whatever happens in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.conftest import OpenHouse
from tests.api.house import EVENT, PASSWORD, Answer, House

TICKET = {"title": "Category 2", "event": EVENT, "price": {"amount": 1, "currency": "EUR"}, "quantity": 5}


def same(one: Answer, two: Answer) -> bool:
    kept = ("Content-Type", "ETag", "Location")
    return (one.status, one.raw, [one.headers.get(name) for name in kept]) == (
        two.status,
        two.raw,
        [two.headers.get(name) for name in kept],
    )


async def test_the_same_key_and_body_have_one_effect_and_one_answer(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    made = [await house.call("POST", "/tickets", TICKET, token=seller.token, key="k") for _ in range(2)]
    ticket_id = made[0].body["id"]
    ordered = [await house.order(buyer, ticket_id, key="k") for _ in range(2)]
    assert same(*made)
    assert same(*ordered)
    assert await house.types(ticket_id) == ["TicketCreated", "TicketReserved"]


async def test_the_answer_is_the_first_one_even_when_things_have_changed(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    ticket = await house.listing(seller)
    first = await house.order(buyer, ticket["id"], key="k")
    await house.call("DELETE", f"/orders/{first.body['id']}", token=buyer.token)
    assert same(first, await house.order(buyer, ticket["id"], key="k"))


async def test_a_refusal_is_an_answer_too(house: House) -> None:
    _, buyer, ticket, order = await house.ordered(quantity=1)
    refused = await house.order(buyer, ticket["id"], key="k")
    assert (refused.status, refused.code) == (409, "sold_out")
    await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)
    assert same(refused, await house.order(buyer, ticket["id"], key="k"))
    assert (await house.order(buyer, ticket["id"], key="another")).status == 201


async def test_an_answer_given_before_says_so(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    body = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
    ticket = await house.listing(seller, quantity=1)
    order = await house.order(buyer, ticket["id"])
    requests = [
        lambda: house.call("POST", "/tickets", TICKET, token=seller.token, key="k1"),
        lambda: house.order(buyer, ticket["id"], key="k2"),  # sold out: a refusal is an answer, too
        lambda: house.pay(buyer, order.body["id"], key="k3"),
        lambda: house.call("POST", "/collection", {"ticket_id": ticket["id"]}, token=buyer.token, key="k4"),
        lambda: house.call("POST", "/users/signup", body, key="k5"),
    ]
    for request in requests:
        first, second = await request(), await request()
        assert same(first, second)
        assert [answer.headers.get("Idempotent-Replayed") for answer in (first, second)] == [None, "true"]
    without_key = await house.call("POST", "/tickets", TICKET, token=seller.token)
    assert "Idempotent-Replayed" not in without_key.headers


async def test_a_key_belongs_to_one_request(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    ticket = await house.listing(seller)
    order = await house.order(buyer, ticket["id"], key="k")
    answers = [
        await house.order(buyer, ticket["id"], 2, key="k"),
        await house.call("POST", "/tickets", TICKET, token=buyer.token, key="k"),
        await house.pay(buyer, order.body["id"], key="k"),
        await house.call("POST", "/collection", {"ticket_id": ticket["id"]}, token=buyer.token, key="k"),
    ]
    assert [(one.status, one.code) for one in answers] == [(422, "idempotency_key_reused")] * 4


async def test_keys_are_per_user(house: House) -> None:
    seller, one, two = await house.person(), await house.person(), await house.person()
    ticket = await house.listing(seller)
    first, second = await house.order(one, ticket["id"], key="k"), await house.order(two, ticket["id"], key="k")
    assert (first.status, second.status) == (201, 201)
    assert first.body["id"] != second.body["id"]


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "tab\tbed", "ümlaut"])
async def test_a_bad_key_is_refused(house: House, key: str) -> None:
    seller = await house.person()
    answer = await house.call("POST", "/tickets", TICKET, token=seller.token, key=key)
    assert (answer.status, answer.fields) == (422, ["Idempotency-Key"])


async def test_two_processes_give_the_one_answer(house: House, open_house: OpenHouse) -> None:
    seller, buyer = await house.person(), await house.person()
    ticket = await house.listing(seller)
    async with open_house() as other:
        houses = [house, other] * 10
        answers = await asyncio.gather(*(one.order(buyer, ticket["id"], key="k") for one in houses))
    assert len({(answer.status, answer.raw) for answer in answers}) == 1
    assert await house.types(ticket["id"]) == ["TicketCreated", "TicketReserved"]


async def test_signing_up_under_a_key_gives_the_same_tokens(house: House) -> None:
    body = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
    first, second = [await house.call("POST", "/users/signup", body, key="k") for _ in range(2)]
    assert first.status == 201
    assert same(first, second)
    assert (await house.call("GET", "/orders", token=second.body["access_token"])).status == 200
    for change in ({"name": "Anna"}, {"password": "another good one"}):
        other = await house.call("POST", "/users/signup", body | change, key="k")
        assert (other.status, other.code) == (422, "idempotency_key_reused")
    taken = await house.call("POST", "/users/signup", body, key="another")
    assert (taken.status, taken.code) == (409, "email_taken")


async def test_two_sign_ups_at_once_under_a_key_make_one_account(house: House) -> None:
    body = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
    answers = await asyncio.gather(*(house.call("POST", "/users/signup", body, key="k") for _ in range(4)))
    assert {(answer.status, answer.raw) for answer in answers} == {(201, answers[0].raw)}


async def test_the_stored_answer_of_a_sign_up_shows_nobody_the_tokens(house: House) -> None:
    body = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
    answer = await house.call("POST", "/users/signup", body, key="k")
    async with house.services.pool.connection() as connection:
        rows: list[tuple[Any, ...]] = await (
            await connection.execute("SELECT key, fingerprint, answer FROM outcomes")
        ).fetchall()
    assert len(rows) == 1
    stored = bytes(rows[0][2])
    for secret in (answer.body["access_token"], answer.body["refresh_token"], "ann@example.org", "Ann"):
        assert secret.encode() not in stored


async def test_collecting_under_a_key(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    one, two = await house.listing(seller), await house.listing(seller)
    first = await house.call("POST", "/collection", {"ticket_id": one["id"]}, token=buyer.token, key="k")
    again = await house.call("POST", "/collection", {"ticket_id": one["id"]}, token=buyer.token, key="k")
    other = await house.call("POST", "/collection", {"ticket_id": two["id"]}, token=buyer.token, key="k")
    assert same(first, again)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    listed = await house.call("GET", "/collection", token=buyer.token)
    assert [item["id"] for item in listed.body["items"]] == [one["id"]]

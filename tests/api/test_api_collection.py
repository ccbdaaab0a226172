"""The collection: tickets of interest."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.api.house import House


async def test_tickets_are_collected_listed_and_dropped(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    tickets = [await house.listing(seller, title=f"Match {number}") for number in range(3)]
    for ticket in (*tickets, tickets[0]):  # the first one twice
        answer = await house.call("POST", "/collection", {"ticket_id": ticket["id"]}, token=buyer.token)
        assert (answer.status, answer.body) == (201, {"ticket_id": ticket["id"]})
    newest_first = [ticket["id"] for ticket in reversed(tickets)]
    for _ in range(2):  # from the log, then from the read model
        listed = await house.call("GET", "/collection", token=buyer.token)
        assert [item["id"] for item in listed.body["items"]] == newest_first
        assert listed.body["items"][0] == tickets[2]
        await house.project()
    for _ in range(2):
        answer = await house.call("DELETE", f"/collection/{newest_first[1]}", token=buyer.token)
        assert answer.status == 204
    listed = await house.call("GET", "/collection", token=buyer.token)
    assert [item["id"] for item in listed.body["items"]] == [newest_first[0], newest_first[2]]
    assert (await house.call("GET", "/collection", token=seller.token)).body["items"] == []


async def test_a_collection_is_paged(house: House) -> None:
    seller = await house.person()
    ids = [(await house.listing(seller))["id"] for _ in range(3)]
    for ticket_id in ids:
        await house.call("POST", "/collection", {"ticket_id": ticket_id}, token=seller.token)
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        page = (await house.call("GET", f"/collection?limit=1{cursor}", token=seller.token)).body
        seen += [item["id"] for item in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert (seen, page["next_cursor"]) == (ids[::-1], None)
    bad = await house.call("GET", "/collection?cursor=x", token=seller.token)
    assert (bad.status, bad.fields) == (422, ["cursor"])


async def test_only_what_exists_is_collected(house: House) -> None:
    buyer = await house.person()
    answer = await house.call("POST", "/collection", {"ticket_id": str(uuid4())}, token=buyer.token)
    assert (answer.status, answer.code) == (404, "ticket_not_found")


async def test_a_collection_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.collection.MAX_COLLECTED", 2)
    seller = await house.person()
    ids = [(await house.listing(seller))["id"] for _ in range(3)]
    answers = [
        await house.call("POST", "/collection", {"ticket_id": ticket_id}, token=seller.token)
        for ticket_id in (*ids, ids[0])
    ]
    assert [answer.status for answer in answers] == [201, 201, 409, 201]
    assert answers[2].code == "collection_full"

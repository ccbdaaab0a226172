"""Listings over HTTP: what is made, shown, edited, refused."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints
from uuid import UUID, uuid4

import pytest

from api.models import Ticket
from api.query_models import TicketQuery
from projections.queries import SORTS
from tests.api.house import EVENT, House

FULL = {
    "title": "Category 2",
    "event": EVENT | {"promoter": "FIFA", "category": "football"},
    "price": {"amount": 2500, "currency": "EUR"},
    "quantity": 5,
    "description": "Row 7\nSeats 1 to 5",
    "hold_seconds": 60,
    "refund_until": "2030-07-01T00:00:00Z",
    "refund_fee": 1,
    "resell_returned": False,
}


async def test_a_listing_comes_back_whole(house: House) -> None:
    seller = await house.person()
    answer = await house.call("POST", "/tickets", FULL, token=seller.token)
    assert answer.status == 201
    assert set(answer.body) == set(Ticket.__struct_fields__)
    assert {name: answer.body[name] for name in FULL} == FULL
    rest = {name: answer.body[name] for name in ("version", "seller_id", "available", "held", "sold", "status")}
    assert rest == {"version": 1, "seller_id": seller.id, "available": 5, "held": 0, "sold": 0, "status": "open"}
    assert answer.body["created_at"] == answer.body["updated_at"]
    assert answer.body["created_at"].endswith("Z")
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Location"] == f"/api/tickets/{answer.body['id']}"
    assert (await house.call("GET", f"/tickets/{answer.body['id']}")).body == answer.body


async def test_the_read_model_and_the_log_show_the_same_json(house: House) -> None:
    _, buyer, ticket, order = await house.ordered(**FULL)
    from_log = [await house.call("GET", f"/tickets/{ticket['id']}")]
    from_log.append(await house.call("GET", f"/orders/{order['id']}", token=buyer.token))
    await house.project()
    assert await house.services.queries.ticket(UUID(ticket["id"])) is not None
    from_rows = [await house.call("GET", f"/tickets/{ticket['id']}")]
    from_rows.append(await house.call("GET", f"/orders/{order['id']}", token=buyer.token))
    assert [answer.raw for answer in from_rows] == [answer.raw for answer in from_log]
    assert from_rows[0].body["held"] == 1


async def test_times_with_an_offset_are_answered_in_utc(house: House) -> None:
    seller = await house.person()
    ticket = await house.listing(seller, event=EVENT | {"starts_at": "2030-07-14T21:00:00+02:00"})
    assert ticket["event"]["starts_at"] == "2030-07-14T19:00:00Z"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"price": {"amount": -1, "currency": "EUR"}}, "price.amount"),
        ({"price": {"amount": 100_000_000, "currency": "EUR"}}, "price.amount"),
        ({"price": {"amount": 25.5, "currency": "EUR"}}, "price.amount"),
        ({"price": {"amount": "2500", "currency": "EUR"}}, "price.amount"),
        ({"price": {"amount": True, "currency": "EUR"}}, "price.amount"),
        ({"price": {"amount": 1, "currency": "eur"}}, "price.currency"),
        ({"price": {"amount": 1, "currency": "XXX"}}, "price.currency"),
        ({"price": {"amount": 1}}, "price.currency"),
        ({"price": {"amount": 1, "currency": "EUR", "tax": 1}}, "price.tax"),
        ({"price": None}, "price"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": 1_000_001}, "quantity"),
        ({"title": ""}, "title"),
        ({"title": " \t "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "a\u0000b"}, "title"),
        ({"title": "line\n"}, "title"),
        ({"description": "x" * 5_001}, "description"),
        ({"description": "bell\u0007"}, "description"),
        ({"hold_seconds": 0}, "hold_seconds"),
        ({"hold_seconds": 86_401}, "hold_seconds"),
        ({"event": EVENT | {"starts_at": "2030-07-14T19:00:00"}}, "event.starts_at"),
        ({"event": EVENT | {"starts_at": "0001-01-01T00:00:00+14:00"}}, "event.starts_at"),
        ({"event": EVENT | {"starts_at": "tomorrow"}}, "event.starts_at"),
        ({"event": EVENT | {"venue": ""}}, "event.venue"),
        ({"event": {"name": "x"}}, "event.starts_at"),
        ({"seller_id": str(uuid4())}, "seller_id"),
        ({"sold": 3}, "sold"),
    ],
)
async def test_a_bad_listing_names_the_field(house: House, change: dict[str, Any], field: str) -> None:
    seller = await house.person()
    answer = await house.call("POST", "/tickets", FULL | change, token=seller.token)
    assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", [field])


async def test_an_edit_merges_what_is_given(house: House) -> None:
    seller = await house.person()
    ticket = await house.listing(seller, **FULL)
    path = f"/tickets/{ticket['id']}"
    change = {"event": {"venue": "Estadio Azteca"}, "price": {"amount": 1, "currency": "USD"}, "quantity": 7}
    edited = await house.call("PATCH", path, change, token=seller.token)
    assert edited.status == 200
    assert edited.body["event"] == FULL["event"] | {"venue": "Estadio Azteca"}  # type: ignore[operator]
    assert (edited.body["price"], edited.body["available"]) == ({"amount": 1, "currency": "USD"}, 7)
    assert (edited.body["title"], edited.body["version"], edited.headers["ETag"]) == ("Category 2", 2, '"2"')
    cleared = {"description": None, "hold_seconds": None, "event": {"promoter": None, "category": None}}
    plain = (await house.call("PATCH", path, cleared, token=seller.token)).body
    assert (plain["description"], plain["hold_seconds"]) == (None, None)
    assert (plain["event"]["promoter"], plain["event"]["category"]) == (None, None)
    same = await house.call("PATCH", path, {}, token=seller.token)
    assert (same.status, same.body["version"]) == (200, plain["version"])


@pytest.mark.parametrize("change", [{"title": None}, {"price": None}, {"event": None}, {"event": {"venue": None}}])
async def test_what_is_required_cannot_be_cleared(house: House, change: dict[str, Any]) -> None:
    seller = await house.person()
    ticket = await house.listing(seller)
    answer = await house.call("PATCH", f"/tickets/{ticket['id']}", change, token=seller.token)
    assert (answer.status, answer.code) == (422, "validation_failed")


async def test_a_price_is_given_whole(house: House) -> None:
    seller = await house.person()
    ticket = await house.listing(seller)
    answer = await house.call("PATCH", f"/tickets/{ticket['id']}", {"price": {"amount": 1}}, token=seller.token)
    assert (answer.status, answer.fields) == (422, ["price.currency"])


@pytest.mark.parametrize("if_match", ['"1"', "*", None])
async def test_an_edit_of_the_version_seen_is_made(house: House, if_match: str | None) -> None:
    seller = await house.person()
    ticket = await house.listing(seller)
    headers = {} if if_match is None else {"If-Match": if_match}
    answer = await house.call("PATCH", f"/tickets/{ticket['id']}", {"quantity": 6}, token=seller.token, headers=headers)
    assert answer.status == 200


@pytest.mark.parametrize("if_match", ['"2"', 'W/"1"', "1", '"1", "2"', '"x"', "", '"99999999999999999999"'])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_an_edit_of_another_version_is_not_made(house: House, method: str, if_match: str) -> None:
    seller = await house.person()
    ticket = await house.listing(seller)
    body = {"quantity": 6} if method == "PATCH" else None
    answer = await house.call(
        method, f"/tickets/{ticket['id']}", body, token=seller.token, headers={"If-Match": if_match}
    )
    assert (answer.status, answer.code) == (412, "version_mismatch")
    assert await house.types(ticket["id"]) == ["TicketCreated"]


async def test_a_listing_somebody_is_paying_for_is_locked(house: House) -> None:
    seller, buyer, ticket, order = await house.ordered()
    path = f"/tickets/{ticket['id']}"
    for method, body in (("PATCH", {"quantity": 6}), ("DELETE", None)):
        answer = await house.call(method, path, body, token=seller.token)
        assert (answer.status, answer.code) == (409, "ticket_locked")
    await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)
    assert (await house.call("PATCH", path, {"quantity": 6}, token=seller.token)).status == 200


async def test_the_quantity_does_not_fall_below_what_is_sold(house: House) -> None:
    seller, buyer, ticket, order = await house.ordered()
    assert (await house.pay(buyer, order["id"])).status == 201
    answer = await house.call("PATCH", f"/tickets/{ticket['id']}", {"quantity": 0}, token=seller.token)
    assert (answer.status, answer.fields) == (422, ["quantity"])
    two = await house.order(buyer, ticket["id"], 2)
    assert (await house.pay(buyer, two.body["id"])).status == 201
    answer = await house.call("PATCH", f"/tickets/{ticket['id']}", {"quantity": 2}, token=seller.token)
    assert (answer.status, answer.fields) == (422, ["quantity"])


async def test_a_withdrawn_listing_is_off_the_market_for_good(house: House) -> None:
    seller, buyer = await house.person(), await house.person()
    ticket = await house.listing(seller)
    path = f"/tickets/{ticket['id']}"
    for _ in range(2):
        answer = await house.call("DELETE", path, token=seller.token)
        assert (answer.status, answer.raw) == (204, b"")
    assert (await house.call("GET", path)).body["status"] == "withdrawn"
    edit = await house.call("PATCH", path, {"quantity": 6}, token=seller.token)
    assert (edit.status, edit.code) == (409, "ticket_withdrawn")
    assert (await house.order(buyer, ticket["id"])).code == "sold_out"


async def test_the_past_can_be_read(house: House) -> None:
    seller = await house.person()
    before = datetime.now(UTC)
    ticket = await house.listing(seller)
    path = f"/tickets/{ticket['id']}"
    await house.call("PATCH", path, {"quantity": 9}, token=seller.token)
    then = await house.call("GET", f"{path}?as_of={ticket['created_at']}")
    assert (then.status, then.body["quantity"], then.headers["ETag"]) == (200, 5, '"1"')
    assert (await house.call("GET", f"{path}?as_of=2100-01-01T00:00:00Z")).body["quantity"] == 9
    early = await house.call("GET", f"{path}?as_of={before.isoformat().replace('+00:00', 'Z')}")
    assert (early.status, early.code) == (404, "ticket_not_found")
    for bad in ("yesterday", "2030-01-01", "2030-01-01T00:00:00", "1700000000", ""):
        answer = await house.call("GET", f"{path}?as_of={bad}")
        assert (answer.status, answer.fields) == (422, ["as_of"])


async def test_a_reader_waits_for_a_version_but_not_for_ever(house: House) -> None:
    seller = await house.person()
    ticket = await house.listing(seller)
    path = f"/tickets/{ticket['id']}"
    await house.project()
    await house.call("PATCH", path, {"quantity": 9}, token=seller.token)
    loop = asyncio.get_running_loop()

    assert (await house.call("GET", path)).body["version"] == 1  # the read model is behind, and that is allowed
    started = loop.time()
    waiting = asyncio.create_task(house.call("GET", f"{path}?min_version=2"))
    await asyncio.sleep(0.2)
    await house.project()
    assert (await waiting).body["quantity"] == 9
    assert 0.2 <= loop.time() - started < 2.0

    await house.call("PATCH", path, {"quantity": 10}, token=seller.token)
    started = loop.time()
    answer = await house.call("GET", f"{path}?min_version=3")  # the model never gets there: the log answers
    assert (answer.body["version"], answer.body["quantity"]) == (3, 10)
    assert 2.0 <= loop.time() - started < 10.0


@pytest.mark.parametrize("query", ["min_version=0", "min_version=x", "min_version=1&min_version=2", "version=1"])
async def test_a_read_with_a_bad_query(house: House, query: str) -> None:
    ticket = await house.listing(await house.person())
    answer = await house.call("GET", f"/tickets/{ticket['id']}?{query}")
    assert (answer.status, answer.fields) == (422, [query.partition("=")[0]])


@pytest.mark.parametrize("tags", ['"1"', 'W/"1"', '"7", "1"', "*"])
async def test_a_version_the_client_has_is_not_sent_again(house: House, tags: str) -> None:
    ticket = await house.listing(await house.person())
    answer = await house.call("GET", f"/tickets/{ticket['id']}", headers={"If-None-Match": tags})
    assert (answer.status, answer.raw, answer.headers["ETag"]) == (304, b"", '"1"')
    assert (await house.call("GET", f"/tickets/{ticket['id']}", headers={"If-None-Match": '"2"'})).status == 200


@pytest.mark.parametrize("name", ["x", "0", str(uuid4()), "{11111111-1111-4111-8111-111111111111}", "%00", uuid4().hex])
async def test_no_such_listing(house: House, name: str) -> None:
    seller = await house.person()
    for method, body in (("GET", None), ("PATCH", {"quantity": 1}), ("DELETE", None)):
        answer = await house.call(method, f"/tickets/{name}", body, token=seller.token)
        assert (answer.status, answer.code) == (404, "ticket_not_found")


async def test_search_filters_sorts_and_pages(house: House) -> None:
    seller, other = await house.person(), await house.person()
    prices = [300, 100, 200]
    mine = [await house.listing(seller, title=f"Final {p}", price={"amount": p, "currency": "EUR"}) for p in prices]
    await house.listing(other, title="Opening match", event=EVENT | {"name": "Match 1", "category": "opening"})
    assert (await house.call("GET", "/tickets")).body == {"items": [], "next_cursor": None}
    await house.project()
    everything = await house.call("GET", "/tickets")
    assert len(everything.body["items"]) == 4
    assert everything.body["items"][1] == mine[2]

    seen, cursor = [], None
    for _ in range(3):
        more = "" if cursor is None else f"&cursor={cursor}"
        page = (await house.call("GET", f"/tickets?q=final&sort=price&limit=1{more}")).body
        seen += [item["price"]["amount"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == ([100, 200, 300], None)

    async def found(query: str) -> int:
        return len((await house.call("GET", f"/tickets?{query}")).body["items"])

    assert await found("category=opening") == 1
    assert await found(f"seller={seller.id}") == 3
    assert await found("min_price=150&max_price=250&currency=EUR") == 1
    assert await found("from=2030-07-14T19:00:00Z&to=2030-07-14T19:00:01Z") == 4
    assert await found("to=2030-07-14T19:00:00Z") == 0
    assert await found("available=false") == 0
    of_seller = await house.call("GET", f"/users/{seller.id}/tickets?limit=2")
    assert [item["id"] for item in of_seller.body["items"]] == [mine[2]["id"], mine[1]["id"]]
    assert (await house.call("GET", f"/users/{uuid4()}/tickets")).body["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=ten",
        "limit=5.0",
        "limit=%2B5",
        "limit=5&limit=6",
        "available=1",
        "from=1e5",
        "to=1700000000",
        "cursor=x",
        "cursor=",
        "sort=random",
        "colour=red",
        "available=maybe",
        "min_price=-1",
        "min_price=1.5",
        "currency=euro",
        "seller=me",
        "from=yesterday",
        "q=%00",
        "q=",
        "q=" + "x" * 201,
    ],
)
async def test_a_bad_search_names_the_parameter(house: House, query: str) -> None:
    answer = await house.call("GET", f"/tickets?{query}")
    assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", [query.partition("=")[0]])


def test_every_order_of_the_list_can_be_asked_for() -> None:
    assert set(get_args(get_type_hints(TicketQuery)["sort"])) == set(SORTS)

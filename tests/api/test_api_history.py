"""Histories: every event, with its cause."""

from __future__ import annotations

from tests.api.house import House


async def test_an_orders_history_tells_it_all(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    await house.pay(buyer, order["id"], "pm_card_chargeDeclined")
    await house.pay(buyer, order["id"])
    history = await house.call("GET", f"/orders/{order['id']}/history", token=buyer.token)
    items = history.body["items"]
    assert [item["type"] for item in items] == [
        "OrderCreated",
        "OrderAwaitingPayment",
        "ChargeFailed",
        "ChargeCreated",
        "OrderCompleted",
        "ChargeSettled",
    ]
    assert [item["sequence"] for item in items] == [1, 2, 3, 4, 5, 6]
    assert [item["position"] for item in items] == sorted(item["position"] for item in items)
    assert {item["actor"] for item in items} == {buyer.id}
    assert items[3]["data"]["money"] == {"amount": 2500, "currency": "EUR"}
    assert items[3]["causation_id"] == items[4]["causation_id"] != items[2]["causation_id"]


async def test_one_request_is_one_correlation_and_its_trace_goes_with_it(house: House) -> None:
    buyer = await house.person()
    ticket = await house.listing(await house.person())
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await house.call(
        "POST",
        "/orders",
        {"items": [{"ticket_id": ticket["id"], "quantity": 1}]},
        token=buyer.token,
        headers={"traceparent": traceparent},
    )
    events = await house.services.log.after(0, limit=100)
    caused = [event.cause for event in events if str(event.cause.correlation_id) == answer.headers["X-Request-Id"]]
    assert len(caused) == 2  # the order's event and the ticket's
    assert {cause.traceparent for cause in caused} == {traceparent}
    assert len({cause.command_id for cause in caused}) == 1


async def test_a_traceparent_that_is_none_is_left_out(house: House) -> None:
    seller = await house.person()
    for bad in ("00-0-0-0", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "x" * 500):
        answer = await house.call("POST", "/tickets", {}, token=seller.token, headers={"traceparent": bad})
        assert answer.body["trace_id"].replace("-", "") == answer.headers["X-Request-Id"].replace("-", "")
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await house.call("POST", "/tickets", {}, token=seller.token, headers={"traceparent": good})
    assert answer.body["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_history_is_paged_by_version(house: House) -> None:
    seller = await house.person()
    ticket = await house.listing(seller)
    path = f"/tickets/{ticket['id']}"
    for quantity in (6, 7, 8):
        await house.call("PATCH", path, {"quantity": quantity}, token=seller.token)
    first = (await house.call("GET", f"{path}/history?limit=3", token=seller.token)).body
    second = (await house.call("GET", f"{path}/history?cursor={first['next_cursor']}", token=seller.token)).body
    assert [item["sequence"] for item in (*first["items"], *second["items"])] == [1, 2, 3, 4]
    assert second["next_cursor"] is None
    other = await house.listing(seller)
    for query in ("cursor=x", "limit=0", "after=1"):
        answer = await house.call("GET", f"{path}/history?{query}", token=seller.token)
        assert (answer.status, answer.fields) == (422, [query.partition("=")[0]])
    mixed = await house.call("GET", f"/tickets/{other['id']}/history?cursor={first['next_cursor']}", token=seller.token)
    assert (mixed.status, mixed.fields) == (422, ["cursor"])


async def test_personal_data_is_in_no_history(house: House) -> None:
    seller, buyer, ticket, order = await house.ordered()
    for path, person in ((f"/tickets/{ticket['id']}", seller), (f"/orders/{order['id']}", buyer)):
        raw = (await house.call("GET", f"{path}/history", token=person.token)).raw
        assert b"example.org" not in raw

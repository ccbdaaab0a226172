"""What the board tells of orders and holds."""

from __future__ import annotations

import time

import pytest

from tests.api.house import House


async def test_nothing_goes_on(house: House) -> None:
    answer = await house.call("GET", "/activity")
    assert (answer.status, answer.body) == (200, {"orders_per_second": 0.0, "open_orders": 0})


async def test_orders_of_the_last_seconds_and_what_is_held(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    seller, buyer = await house.person("seller"), await house.person("buyer")
    ticket = await house.listing(seller)
    orders = [(await house.order(buyer, ticket["id"])).body for _ in range(3)]
    await house.call("DELETE", f"/orders/{orders[0]['id']}", token=buyer.token)
    await house.project()
    made, now = int(time.time()), time.time
    for later, rate in ((0, 0.0), (2, 0.3), (9, 0.3), (12, 0.0)):
        # Orders were made in the last two seconds: the one that runs is not counted, nor what is ten seconds old.
        monkeypatch.setattr("api.activity.time.time", lambda later=later: made + later)
        body = (await house.call("GET", "/activity")).body
        assert body["open_orders"] == 2
        assert body["orders_per_second"] == rate or later == 0, later
    monkeypatch.setattr("api.activity.time.time", now)

"""What was sold: of a seller their own, in steps and by listing, as the ledger has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api import sales
from domain.payouts import Terms
from tests.api.conftest import OpenHouse
from tests.api.house import House, Person
from tests.api.test_api_payouts import TENTH, disputed, paid
from tests.api.test_api_refunds import administrator, bought, give_back, some


async def sold(house: House, who: Person, query: str = "") -> Any:
    await house.project()
    answer = await house.call("GET", f"/analytics/sales{query}", token=who.token)
    assert answer.status == 200, answer.raw
    return answer.body


async def refused(house: House, query: str) -> list[str]:
    answer = await house.call("GET", f"/analytics/sales?{query}", token=(await house.person()).token)
    assert (answer.status, answer.code) == (422, "validation_failed"), answer.raw
    return answer.fields


async def sale(house: House, quantity: int) -> tuple[Person, Person, Any, Any]:
    """A seller, a buyer, a listing, and a paid order of so many of it."""
    seller, buyer = await house.person("seller"), await house.person("buyer")
    ticket = await house.listing(seller)
    return seller, buyer, ticket, await bought(house, buyer, (ticket, quantity))


def total(**values: Any) -> dict[str, Any]:
    amounts = dict.fromkeys(("orders", "tickets", "gross", "fees", "refunded", "net", "paid_out", "owed"), 0)
    return {"currency": "EUR", **amounts, **values}


async def test_who_sold_nothing(house: House) -> None:
    found = await sold(house, await house.person())
    assert (found["interval"], found["totals"], found["series"], found["tickets"]) == ("day", [], [], [])
    since, until = datetime.fromisoformat(found["from"]), datetime.fromisoformat(found["to"])
    assert until - since == timedelta(days=30)
    assert abs(datetime.now(UTC) - until) < timedelta(minutes=1)


async def test_sales_refunds_and_payouts(open_house: OpenHouse) -> None:
    async with open_house(terms=TENTH) as house:
        seller, buyer, ticket, order = await sale(house, 4)
        await paid(house, seller, order["id"])
        assert (await give_back(house, seller, order["id"], some(ticket, 1))).status == 200
        found = await sold(house, seller)
        assert found["totals"] == [
            total(
                orders=1,
                tickets=4,
                gross=10_000,
                fees=750,
                refunded=2_500,
                net=6_750,
                paid_out=9_000,
                owed=6_750 - 9_000,
            )
        ]
        (step,) = found["series"]
        start = datetime.fromisoformat(step.pop("start"))
        assert (start.hour, start.minute) == (0, 0)
        assert step == {
            "currency": "EUR", "tickets": 4, "gross": 10_000, "refunded": 2_500, "fees": 750, "net": 6_750,
            "paid_out": 9_000,
        }  # fmt: skip
        assert found["tickets"] == [
            {
                "ticket_id": ticket["id"], "title": ticket["title"], "currency": "EUR",
                "tickets": 4, "gross": 10_000, "refunded": 2_500, "net": 6_750,
            }
        ]  # fmt: skip
        assert (await sold(house, buyer))["totals"] == []


async def test_a_lost_dispute_is_money_that_went_back(open_house: OpenHouse) -> None:
    async with open_house(terms=TENTH) as house:
        seller, _, _, order = await sale(house, 2)
        await disputed(house, order["id"], "lost")
        expected = total(orders=1, tickets=2, gross=5_000, refunded=5_000)
        assert (await sold(house, seller))["totals"] == [expected]


async def test_a_seller_sees_their_own_and_an_administrator_all(open_house: OpenHouse) -> None:
    async with open_house(terms=Terms()) as house:
        one, _, first, _ = await sale(house, 1)
        other, _, second, _ = await sale(house, 2)
        admin = await administrator(house)
        for who, gross, tickets in ((one, 2_500, [first]), (other, 5_000, [second]), (admin, 7_500, [second, first])):
            found = await sold(house, who)
            assert found["seller_id"] == (None if who is admin else who.id)
            assert [of["gross"] for of in found["totals"]] == [gross]
            assert [of["ticket_id"] for of in found["tickets"]] == [ticket["id"] for ticket in tickets]
        assert (await sold(house, one, f"?ticket_id={second['id']}"))["totals"] == []


async def test_one_listing_and_one_currency(open_house: OpenHouse) -> None:
    async with open_house(terms=Terms()) as house:
        seller, _, ticket, _ = await sale(house, 1)
        found = await sold(house, seller, f"?ticket_id={ticket['id']}&currency=EUR")
        (of_ticket,), (step,) = found["totals"], found["series"]
        assert (step["gross"], step["paid_out"]) == (2_500, None)
        assert of_ticket == total(orders=1, tickets=1, gross=2_500, net=2_500, paid_out=None, owed=None)
        assert (await sold(house, seller, f"?ticket_id={uuid4()}"))["totals"] == []
        assert (await sold(house, seller, "?currency=USD"))["totals"] == []


async def test_what_was_owed_before_the_time_is_owed_still(open_house: OpenHouse) -> None:
    async with open_house(terms=Terms()) as house:
        seller, *_ = await sale(house, 1)
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        later = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        found = await sold(house, seller, f"?from={tomorrow}&to={later}&interval=hour")
        assert (found["totals"], found["series"]) == ([total(owed=2_500)], [])
        assert (found["from"], found["to"], found["interval"]) == (tomorrow, later, "hour")
        assert (await sold(house, seller, "?to=2020-01-01T00:00:00Z&interval=month"))["totals"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("from=2025-01-01T00:00:00Z&to=2026-03-01T00:00:00Z", "from"),
        ("from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z&interval=hour", "interval"),
        ("to=0001-01-01T00:00:00Z", "from"),
        ("from=0001-01-01T00:00:00%2B14:00&to=0001-01-02T00:00:00Z", "from"),
        ("interval=week", "interval"),
        ("currency=euro", "currency"),
        ("ticket_id=x", "ticket_id"),
        ("seller_id=" + str(UUID(int=1)), "seller_id"),
    ],
)
async def test_wrong_questions(house: House, query: str, field: str) -> None:
    assert await refused(house, query) == [field]


async def test_a_series_has_a_bound(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sales, "MAX_ROWS", 0)
    async with open_house(terms=Terms()) as house:
        seller, *_ = await sale(house, 1)
        await house.project()
        answer = await house.call("GET", "/analytics/sales", token=seller.token)
        assert (answer.status, answer.fields) == (422, ["currency"])

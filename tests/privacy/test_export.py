"""`GET /api/users/currentuser/export`: everything there is about a person, and nothing of anybody else's account."""

from __future__ import annotations

import msgspec
import pytest

from api import export, models
from tests.api.conftest import OpenHouse
from tests.api.house import PASSWORD, House, Person


async def exported(house: House, person: Person) -> models.Export:
    answer = await house.call("GET", "/users/currentuser/export", token=person.token)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="stagedoor-export.json"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-Id"]
    return msgspec.json.decode(answer.raw, type=models.Export)


async def test_it_has_everything(house: House) -> None:
    seller, buyer, ticket, order = await house.ordered()
    own = await house.listing(buyer, title="My own")
    assert (await house.pay(buyer, order["id"], "pm_card_visa_chargeDeclined")).status == 402
    paid = (await house.pay(buyer, order["id"])).body
    await house.call("POST", "/collection", {"ticket_id": ticket["id"]}, token=buyer.token)
    await house.call("POST", "/users/signin", {"email": buyer.email, "password": PASSWORD})
    await house.call("PATCH", "/users/currentuser", {"name": "Bea"}, token=buyer.token)
    await house.project()

    found = await exported(house, buyer)
    assert (str(found.account.id), found.account.email, found.account.name) == (buyer.id, buyer.email, "Bea")
    assert [event.type for event in found.history] == ["UserCreated", "UserUpdated"]
    assert all(str(event.actor) == buyer.id for event in found.history)
    assert len(found.sessions) == 2
    assert all(session.ended_at is None and session.expires_at > session.began_at for session in found.sessions)
    assert [str(one.ticket_id) for one in found.collection] == [ticket["id"]]
    [listing] = found.listings
    assert (str(listing.ticket.id), listing.ticket.title) == (own["id"], "My own")
    assert [event.type for event in listing.history] == ["TicketCreated"]
    [bought] = found.orders
    assert (str(bought.order.id), bought.order.status, bought.order.charge_id) == (
        order["id"],
        "completed",
        paid["charge_id"],
    )
    types = [event.type for event in bought.history]
    assert types[:3] == ["OrderCreated", "OrderAwaitingPayment", "ChargeFailed"]
    assert types[3:] == ["ChargeCreated", "OrderCompleted", "ChargeSettled"]
    assert found.log_position == await house.services.log.end()

    theirs = await exported(house, seller)
    assert [str(one.ticket.id) for one in theirs.listings] == [ticket["id"]]
    assert theirs.orders == []
    raw = (await house.call("GET", "/users/currentuser/export", token=seller.token)).raw
    assert buyer.email.encode() not in raw


async def test_it_is_made_page_by_page(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 2)
    monkeypatch.setattr(export, "EVENTS_PAGE", 2)
    seller, buyer = await house.person("seller"), await house.person("buyer")
    tickets = [await house.listing(seller, title=f"Listing {number}") for number in range(5)]
    for number, ticket in enumerate(tickets):
        await house.call("POST", "/collection", {"ticket_id": ticket["id"]}, token=buyer.token)
        assert (await house.order(buyer, ticket["id"], key=str(number))).status == 201
        await house.call("POST", "/users/signin", {"email": buyer.email, "password": PASSWORD})
    for number in range(4):
        await house.call("PATCH", "/users/currentuser", {"name": f"Name {number}"}, token=buyer.token)
    await house.project()
    found = await exported(house, buyer)
    newest_first = [ticket["id"] for ticket in reversed(tickets)]
    assert [str(one.ticket_id) for one in found.collection] == newest_first
    assert [str(one.order.items[0].ticket_id) for one in found.orders] == newest_first
    assert [event.sequence for event in found.history] == [1, 2, 3, 4, 5]
    assert len(found.sessions) == 6
    assert [str(one.ticket.id) for one in (await exported(house, seller)).listings] == newest_first


async def test_somebody_without_anything(house: House) -> None:
    found = await exported(house, await house.person("new"))
    assert (found.collection, found.listings, found.orders) == ([], [], [])


async def test_one_that_breaks_off_is_not_taken_for_whole(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await house.person("ann")

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(type(house.services.collection), "page", fail)
    import aiohttp

    with pytest.raises(aiohttp.ClientPayloadError):
        await house.call("GET", "/users/currentuser/export", token=person.token)


async def test_a_head_makes_nothing(house: House) -> None:
    person = await house.person("ann")
    answer = await house.call("HEAD", "/users/currentuser/export", token=person.token)
    assert (answer.status, answer.raw) == (200, b"")


async def test_it_is_not_asked_for_all_day(open_house: OpenHouse) -> None:
    async with open_house(rate_limit=True) as house:
        person = await house.person("ann")
        statuses = [
            (await house.call("GET", "/users/currentuser/export", token=person.token)).status for _ in range(11)
        ]
    assert statuses == [200] * 10 + [429]

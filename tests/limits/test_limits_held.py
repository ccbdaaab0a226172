"""One buyer holds so many units of a listing unpaid at a time: decided in the transaction, alike in every process."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from adapters.event_codec import decode_event, decode_snapshot, encode_snapshot
from adapters.settings import DEFAULT_HELD_PER_BUYER, MAX_HELD_PER_BUYER, Settings, SettingsError
from cli.verification import checks
from domain.errors import TooManyHeld
from domain.listing import MAX_QUANTITY
from domain.order import MAX_QUANTITY_PER_ITEM
from domain.ticket import Ticket
from tests.api.conftest import OpenHouse, open_house, sandbox_url
from tests.domain.scenes import BUYER, DEADLINE, LATER, NOON, OTHER, at, ticket

__all__ = ["open_house", "sandbox_url"]

SAMPLES = Path(__file__).parents[1] / "stored_events"


def hold(given: Ticket, quantity: int, buyer: UUID | None = BUYER, moment: Any = NOON) -> UUID:
    order_id = uuid4()
    given.reserve(order_id, quantity, moment + timedelta(minutes=15), at(moment), buyer)
    return order_id


def may_hold(given: Ticket, quantity: int, most: int, buyer: UUID = BUYER, moment: Any = NOON) -> bool:
    try:
        given.check_may_hold(buyer, quantity, most, moment)
    except TooManyHeld:
        return False
    return True


def test_up_to_the_cap_and_not_beyond() -> None:
    given = ticket(quantity=50)
    assert may_hold(given, 5, most=5)
    assert not may_hold(given, 6, most=5)
    hold(given, 3)
    assert may_hold(given, 2, most=5)
    assert not may_hold(given, 3, most=5)
    assert may_hold(given, 5, most=5, buyer=OTHER)


def test_what_is_paid_cancelled_or_past_its_deadline_counts_no_more() -> None:
    given = ticket(quantity=50)
    given.sell(hold(given, 1), 1, at())
    given.release(hold(given, 2), "cancelled", at())
    late = hold(given, 3)
    assert not may_hold(given, 3, most=5)
    assert may_hold(given, 5, most=5, moment=DEADLINE), "though no timer has come"
    given.release(late, "expired", at(LATER))
    assert given.held_by == {}
    assert may_hold(given, 5, most=5)


def test_a_hold_that_another_buyer_took_over_counts_no_more() -> None:
    given = ticket(quantity=3)
    hold(given, 3)
    hold(given, 2, OTHER, LATER)
    assert given.held_by == {OTHER: 2}


def test_late_money_counts_for_nobody() -> None:
    given = ticket(quantity=3)
    given.sell(uuid4(), 2, at())
    assert given.held_by == {}


def restored(given: Ticket) -> Ticket:
    stored = encode_snapshot(given)
    found = decode_snapshot(stored.topic, stored.state)
    assert isinstance(found, Ticket)
    return found


def test_it_is_the_same_from_a_snapshot_and_from_the_events() -> None:
    given = ticket(quantity=50)
    for quantity, buyer in ((3, BUYER), (4, OTHER), (5, BUYER), (6, None)):
        hold(given, quantity, buyer)
    assert restored(given).held_by == given.held_by == {BUYER: 8, OTHER: 4}


def test_what_was_stored_before_there_was_a_cap_still_loads() -> None:
    """An old event and an old snapshot tell the same: units that are held, and counted for nobody."""
    made, reserved = (
        decode_event(f"stagedoor.Ticket.{name}", (SAMPLES / f"stagedoor.Ticket.{name}.v1.json").read_bytes())
        for name in ("Created", "Reserved")
    )
    given = reserved.mutate(made.mutate(None))
    stored = encode_snapshot(given)
    state = msgspec.json.decode(stored.state)
    for old in state["holds"].values():
        del old["buyer_id"]
    old_state = msgspec.json.encode(state)
    found = decode_snapshot(stored.topic, old_state)
    assert isinstance(found, Ticket)
    assert (found.held, found.held_by, given.held_by) == (2, {}, {})
    assert checks._snapshot(stored.topic, old_state) == msgspec.json.decode(stored.state), "`verify` finds no fault"


def test_a_new_event_is_read_as_it_was_stored_without_a_detour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.event_codec._upcast", lambda *_: pytest.fail("it is of the present version"))
    sample = SAMPLES / f"stagedoor.Ticket.Reserved.v{Ticket.Reserved.class_version}.json"
    event = decode_event("stagedoor.Ticket.Reserved", msgspec.json.encode(msgspec.json.decode(sample.read_bytes())))
    assert isinstance(event, Ticket.Reserved)
    assert event.buyer_id == BUYER


def test_the_setting() -> None:
    assert Settings.from_environment({}).max_held_per_buyer == DEFAULT_HELD_PER_BUYER == MAX_QUANTITY_PER_ITEM
    assert MAX_HELD_PER_BUYER == MAX_QUANTITY
    read = Settings.from_environment({"STAGEDOOR_MAX_HELD_PER_BUYER": "0"})
    assert Settings.from_environment(read.as_environment()) == read
    for bad in ("-1", "many", "1000001"):
        with pytest.raises(SettingsError, match="STAGEDOOR_MAX_HELD_PER_BUYER"):
            Settings.from_environment({"STAGEDOOR_MAX_HELD_PER_BUYER": bad})


async def test_two_processes_agree_on_it(open_house: OpenHouse) -> None:
    """One buyer orders through both at once; the other one's order is not touched by it."""
    settings = {"max_held_per_buyer": 20, "api_processes": 2}
    async with open_house(**settings) as one, open_house(**settings) as two:
        seller, buyer, other = [await one.person() for _ in range(3)]
        listed = await one.listing(seller, quantity=1_000)
        answers = await asyncio.gather(
            *((one, two)[number % 2].order(buyer, listed["id"], 3) for number in range(30)),
            two.order(other, listed["id"], 20),
        )
        assert [answer.code for answer in answers].count("too_many_held") == 24
        assert answers[-1].status == 201
        refused = next(answer for answer in answers if answer.status != 201)
        assert (refused.status, refused.body["title"]) == (409, "One buyer holds no more of it unpaid")
        seen = (await two.call("GET", f"/tickets/{listed['id']}")).body
        assert seen["held"] == 6 * 3 + 20
        placed = next(answer for answer in answers if answer.status == 201)
        assert (await two.call("DELETE", f"/orders/{placed.body['id']}", token=buyer.token)).status == 200
        assert (await one.order(buyer, listed["id"], 5)).status == 201
        assert (await one.order(buyer, listed["id"], 1)).code == "too_many_held"


async def test_an_order_of_several_listings_is_refused_whole(open_house: OpenHouse) -> None:
    async with open_house(max_held_per_buyer=3) as house:
        seller, buyer = await house.person(), await house.person()
        plenty, capped = [await house.listing(seller) for _ in range(2)]
        assert (await house.order(buyer, capped["id"], 3)).status == 201
        both = {"items": [{"ticket_id": one["id"], "quantity": 1} for one in (plenty, capped)]}
        refused = await house.call("POST", "/orders", both, token=buyer.token, key="k")
        assert refused.code == "too_many_held"
        assert (await house.call("POST", "/orders", both, token=buyer.token, key="k")).raw == refused.raw
        assert (await house.call("GET", f"/tickets/{plenty['id']}")).body["held"] == 0


async def test_by_default_the_largest_order_fits_once_and_zero_is_no_cap(open_house: OpenHouse) -> None:
    async with open_house() as house:
        seller, buyer = await house.person(), await house.person()
        listed = await house.listing(seller, quantity=300)
        largest = [await house.order(buyer, listed["id"], MAX_QUANTITY_PER_ITEM) for _ in range(2)]
        assert [answer.status for answer in largest] == [201, 409]
    async with open_house(max_held_per_buyer=0) as house:
        assert (await house.order(buyer, listed["id"], MAX_QUANTITY_PER_ITEM)).status == 201

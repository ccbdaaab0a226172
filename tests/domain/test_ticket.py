"""The rules of a listing, one test a rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from eventsourcing.domain import OriginatorVersionError

from domain.errors import Invalid, NotOwner, SoldOut, TicketLocked, TicketWithdrawn
from domain.money import Money
from domain.ticket import MANY_GONE, Ticket
from tests.domain.scenes import BUYER, DEADLINE, LATER, NOON, SELLER, at, counts, listing, then, ticket


def test_a_listing_starts_with_everything_available() -> None:
    made = Ticket.offer(uuid4(), SELLER, listing(quantity=5), at())
    assert (counts(made), made.status, made.version) == ((5, 0, 0), "open", 1)
    assert then(made) == ["Created"]


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("title", replace(listing(), title=" ")),
        ("title", replace(listing(), title="x" * 201)),
        ("event.venue", replace(listing(), event=replace(listing().event, venue=""))),
        ("event.starts_at", replace(listing(), event=replace(listing().event, starts_at=NOON.replace(tzinfo=None)))),
        ("price.amount", replace(listing(), price=Money(-1, "EUR"))),
        ("price.currency", replace(listing(), price=Money(1, "XXX"))),
        ("quantity", replace(listing(), quantity=0)),
        ("description", replace(listing(), description="x" * 5_001)),
        ("hold_seconds", replace(listing(), hold_seconds=0)),
    ],
)
def test_no_listing_has_such_a_value(field: str, bad: object) -> None:
    with pytest.raises(Invalid) as refused:
        Ticket.offer(uuid4(), SELLER, bad, at())  # type: ignore[arg-type]
    assert refused.value.field == field


def test_reserving_holds_units_until_the_deadline() -> None:
    given = ticket()
    given.reserve(uuid4(), 2, DEADLINE, at())
    assert counts(given) == (3, 2, 0)
    event = given.collect_events()[0]
    assert isinstance(event, Ticket.Reserved)
    assert (event.quantity, event.expires_at, event.available, event.held, event.sold) == (2, DEADLINE, 3, 2, 0)


def test_two_buyers_at_once_for_the_last_ticket_the_second_is_told_sold_out() -> None:
    given = ticket(quantity=1)
    given.reserve(uuid4(), 1, DEADLINE, at())
    with pytest.raises(SoldOut):
        given.reserve(uuid4(), 1, DEADLINE, at())
    assert (then(given), given.status) == (["Reserved"], "sold_out")


def test_more_than_is_left_is_refused_whole() -> None:
    given = ticket(quantity=5)
    with pytest.raises(SoldOut):
        given.reserve(uuid4(), 6, DEADLINE, at())
    assert (then(given), counts(given)) == ([], (5, 0, 0))


def test_a_hold_past_its_deadline_blocks_nobody() -> None:
    given = ticket(quantity=1)
    first, second = uuid4(), uuid4()
    given.reserve(first, 1, DEADLINE, at())
    given.reserve(second, 1, LATER + timedelta(minutes=15), at(LATER))
    assert then(given) == ["Reserved", "Released", "Reserved"]
    assert list(given.holds) == [second]


def test_a_hold_at_its_very_deadline_is_over() -> None:
    given = ticket(quantity=1)
    given.reserve(uuid4(), 1, DEADLINE, at())
    given.reserve(uuid4(), 1, LATER, at(DEADLINE))
    assert counts(given) == (0, 1, 0)


def test_lapsed_holds_are_taken_over_oldest_first_and_only_as_needed() -> None:
    given = ticket(quantity=3)
    orders = [uuid4() for _ in range(3)]
    for minutes, order_id in enumerate(orders):
        given.reserve(order_id, 1, DEADLINE + timedelta(minutes=minutes), at())
    given.reserve(uuid4(), 2, DEADLINE + timedelta(hours=1), at(DEADLINE + timedelta(minutes=5)))
    assert orders[0] not in given.holds
    assert orders[1] not in given.holds
    assert orders[2] in given.holds


def test_of_many_holds_past_their_deadline_no_more_are_looked_at_than_are_needed() -> None:
    given = ticket(quantity=101)
    for _ in range(100):
        given.reserve(uuid4(), 1, DEADLINE, at(), uuid4())
    given.check_may_reserve(1, LATER)
    given.check_may_hold(BUYER, 1, 1, LATER)
    assert len(given.deadlines) == 100, "one is free, and the buyer holds none"
    given.reserve(uuid4(), 3, LATER, at(LATER), BUYER)
    assert (len(given.lapsed), len(given.holds), given.available) == (0, 99, 0)
    assert len(given.deadlines) == 99, "98 left of those that are past it, and the new one"


def test_what_was_sold_leaves_no_deadline_behind() -> None:
    """A listing that is never short of units never comes to look at one."""
    given = ticket(quantity=10_000)
    waiting = uuid4()
    given.reserve(waiting, 1, DEADLINE, at())
    for _ in range(500):
        order_id = uuid4()
        given.reserve(order_id, 1, DEADLINE, at())
        given.sell(order_id, 1, at())
    assert len(given.deadlines) <= 2 + MANY_GONE
    given.reserve(uuid4(), 9_500, LATER, at(LATER))
    assert waiting not in given.holds


def test_a_clock_that_steps_back_gives_no_units_away_twice() -> None:
    given = ticket(quantity=1)
    given.reserve(uuid4(), 1, DEADLINE, at())
    given.reserve(uuid4(), 1, LATER + timedelta(minutes=15), at(LATER))
    with pytest.raises(SoldOut):
        given.reserve(uuid4(), 1, DEADLINE, at(NOON - timedelta(minutes=5)))
    assert given.modified_on == LATER


def test_releasing_frees_the_units_and_twice_is_once() -> None:
    given = ticket()
    order_id = uuid4()
    given.reserve(order_id, 2, DEADLINE, at())
    given.release(order_id, "cancelled", at())
    given.release(order_id, "cancelled", at())
    assert then(given) == ["Reserved", "Released"]
    assert counts(given) == (5, 0, 0)


def test_selling_turns_held_into_sold() -> None:
    given = ticket()
    order_id = uuid4()
    given.reserve(order_id, 2, DEADLINE, at())
    assert given.may_sell(order_id, 2, NOON)
    given.sell(order_id, 2, at())
    assert (counts(given), given.holds) == ((3, 0, 2), {})


def test_late_money_takes_free_units_through_a_hold() -> None:
    given = ticket(quantity=2)
    order_id = uuid4()
    assert given.may_sell(order_id, 2, LATER)
    given.sell(order_id, 2, at(LATER))
    assert then(given) == ["Reserved", "Sold"]
    assert counts(given) == (0, 0, 2)


def test_late_money_finds_nothing_when_others_hold_the_units() -> None:
    given = ticket(quantity=1)
    given.reserve(uuid4(), 1, DEADLINE, at())
    assert not given.may_sell(uuid4(), 1, NOON)
    assert given.may_sell(uuid4(), 1, LATER)


def test_the_seller_edits_while_nothing_is_held() -> None:
    given = ticket()
    given.edit(replace(given.listing, price=Money(3000, "EUR")), SELLER, at())
    assert (then(given), given.listing.price) == (["Updated"], Money(3000, "EUR"))


def test_the_same_offer_again_is_no_change() -> None:
    given = ticket()
    given.edit(given.listing, SELLER, at())
    assert then(given) == []


def test_price_quantity_and_details_are_locked_while_somebody_is_paying() -> None:
    given = ticket()
    order_id = uuid4()
    given.reserve(order_id, 1, DEADLINE, at())
    for changed in (
        replace(given.listing, price=Money(1, "EUR")),
        replace(given.listing, quantity=9),
        replace(given.listing, title="Other"),
    ):
        with pytest.raises(TicketLocked):
            given.edit(changed, SELLER, at())
    with pytest.raises(TicketLocked):
        given.withdraw(SELLER, at())
    given.sell(order_id, 1, at())
    given.edit(replace(given.listing, price=Money(1, "EUR")), SELLER, at())
    assert given.listing.price == Money(1, "EUR")


def test_a_lapsed_hold_locks_no_longer() -> None:
    given = ticket()
    given.reserve(uuid4(), 1, DEADLINE, at())
    given.edit(replace(given.listing, quantity=2), SELLER, at(LATER))
    assert then(given) == ["Reserved", "Released", "Updated"]
    assert counts(given) == (2, 0, 0)


def test_quantity_never_goes_below_what_is_sold() -> None:
    given = ticket()
    order_id = uuid4()
    given.reserve(order_id, 3, DEADLINE, at())
    given.sell(order_id, 3, at())
    with pytest.raises(Invalid) as refused:
        given.edit(replace(given.listing, quantity=2), SELLER, at())
    assert refused.value.field == "quantity"
    given.edit(replace(given.listing, quantity=3), SELLER, at())
    assert counts(given) == (0, 0, 3)


def test_nobody_else_edits_or_withdraws() -> None:
    given = ticket()
    with pytest.raises(NotOwner):
        given.edit(replace(given.listing, title="Mine"), BUYER, at())
    with pytest.raises(NotOwner):
        given.withdraw(BUYER, at())
    assert then(given) == []


def test_withdrawing_is_for_good_and_twice_is_once() -> None:
    given = ticket()
    given.withdraw(SELLER, at())
    given.withdraw(SELLER, at())
    assert (then(given), given.status) == (["Withdrawn"], "withdrawn")
    with pytest.raises(SoldOut):
        given.reserve(uuid4(), 1, DEADLINE, at())
    with pytest.raises(TicketWithdrawn):
        given.edit(replace(given.listing, title="Back"), SELLER, at())
    assert not given.may_sell(uuid4(), 1, NOON)


def test_an_event_arriving_twice_is_refused() -> None:
    given = ticket()
    given.reserve(uuid4(), 1, DEADLINE, at())
    event = given.collect_events()[0]
    with pytest.raises(OriginatorVersionError):
        event.mutate(given)
    assert counts(given) == (4, 1, 0)


def test_the_more_holds_a_snapshot_has_to_write_the_rarer_it_is() -> None:
    given = ticket(quantity=10_000)
    assert given.snapshot_interval() == 1_000
    for _ in range(6_000):
        given.reserve(uuid4(), 1, DEADLINE, at())
    assert given.snapshot_interval() == 1_500


def test_holds_that_only_open_come_to_one_snapshot_after_the_other() -> None:
    listed = ticket(quantity=10_000)
    kept_at = []
    for _ in range(9_000):
        listed.reserve(uuid4(), 1, DEADLINE, at())
        if listed.version - listed.snapshot_version >= listed.snapshot_interval():
            listed.snapshot_version = listed.version
            kept_at.append(listed.version)
    assert kept_at[-1] > 9_000 * 0.75
    assert len(kept_at) < 10

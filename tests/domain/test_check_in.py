"""At the door: which tickets of an order are good, whatever was refunded and used before, in whatever order."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from domain.check_in import CheckInCreated, check_in, unused, used
from domain.errors import OrderNotFound, RefundNotAllowed, TicketUsed, TicketVoid
from domain.order import Order
from domain.order_refunds import check_terms, refund
from tests.domain.scenes import LATER, NOON, at, awaiting, order, pays, then

DOORS = NOON + timedelta(days=30)


def paid(quantity: int = 3) -> Order:
    """Given an order that was paid."""
    made = awaiting(quantity=quantity)
    pays(made)
    made.collect_events()
    return made


def enter(of: Order, number: int, gate: str | None = None) -> None:
    """When somebody shows a ticket."""
    check_in(of, of.items[0], number, gate, at(DOORS))


def give_back(of: Order, quantity: int) -> None:
    refund(of, {of.items[0].ticket_id: quantity}, "seller", at(LATER))


def test_a_ticket_lets_one_person_in_once() -> None:
    one = paid()
    enter(one, 2, "Gate A")
    assert then(one) == [CheckInCreated.__name__]
    known = used(one, one.items[0].ticket_id)[2]
    assert (known.at, known.gate) == (DOORS, "Gate A")
    with pytest.raises(TicketUsed) as refused:
        enter(one, 2, "Gate B")
    assert (refused.value.at, refused.value.gate) == (DOORS, "Gate A")
    assert then(one) == []
    assert unused(one, one.items[0]) == [1, 3]


@pytest.mark.parametrize("number", [0, 4, -1])
def test_there_is_no_other_ticket(number: int) -> None:
    with pytest.raises(OrderNotFound):
        enter(paid(), number)


def test_what_is_not_paid_lets_nobody_in() -> None:
    for one in (order(), awaiting()):
        with pytest.raises(TicketVoid):
            enter(one, 1)


def test_the_last_unused_ones_are_refunded() -> None:
    one = paid()
    enter(one, 3)
    give_back(one, 1)
    assert unused(one, one.items[0]) == [1]
    with pytest.raises(TicketVoid):
        enter(one, 2)
    enter(one, 1)
    give_back(one, 2)  # The seller's to do: the show was broken off.
    assert (one.status, unused(one, one.items[0])) == ("refunded", [])
    with pytest.raises(TicketUsed):
        enter(one, 1)


def test_a_buyer_gives_back_nothing_that_was_used() -> None:
    one = paid(2)
    (item,) = one.items
    one.items = (type(item)(item.ticket_id, item.seller_id, item.title, 2, item.price, refund_until=DOORS),)
    enter(one, 1)
    check_terms(one, {item.ticket_id: 1}, LATER)
    with pytest.raises(RefundNotAllowed):
        check_terms(one, {item.ticket_id: 2}, LATER)


@pytest.mark.parametrize("seed", range(40))
def test_a_good_number_goes_bad_only_by_its_own_use_or_by_a_refund(seed: int) -> None:
    chance, one = random.Random(seed), paid(6)
    (item,) = one.items
    for _ in range(12):
        before = unused(one, one.items[0])
        if before and chance.random() < 0.6:
            number = chance.choice(before)
            enter(one, number)
            assert unused(one, one.items[0]) == [other for other in before if other != number]
        elif one.items[0].kept and one.status == "completed":
            quantity = chance.randint(1, one.items[0].kept)
            give_back(one, quantity)
            after = unused(one, one.items[0])
            assert after == before[: max(0, len(before) - quantity)]
    assert len(used(one, item.ticket_id)) + len(unused(one, one.items[0])) <= item.quantity

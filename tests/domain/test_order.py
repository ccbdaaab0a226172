"""The rules of an order, one test a rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from domain.errors import ChargeMismatch, Invalid, OrderNotOpen
from domain.money import MAX_AMOUNT, Money
from domain.order import INTENT_CANCELED, ChargeFailure, Item, Order, total_of
from domain.order_refunds import RefundMade, note_refund
from domain.payouts import Refund
from tests.domain.scenes import (
    BUYER,
    DEADLINE,
    INTENT,
    LATER,
    SELLER,
    at,
    awaiting,
    charge,
    order,
    pays,
    pays_in_vain,
    then,
)


def item(amount: int = 100, currency: str = "EUR", quantity: int = 1) -> Item:
    return Item(uuid4(), SELLER, "x", quantity, Money(amount, currency))


def test_an_order_adds_up() -> None:
    assert total_of((item(100, quantity=3), item(250))) == Money(550, "EUR")


@pytest.mark.parametrize(
    ("items", "field"),
    [((), "items"), ((item(), item(currency="USD")), "items[1]"), ((item(MAX_AMOUNT, quantity=2),), "items")],
)
def test_no_order_without_items_with_two_currencies_or_too_dear(items: tuple[Item, ...], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        Order.place(uuid4(), BUYER, items, DEADLINE, at())
    assert refused.value.field == field


def test_an_order_that_costs_nothing_is_completed_at_once() -> None:
    made = Order.place(uuid4(), BUYER, (item(0),), DEADLINE, at())
    assert (then(made), made.status) == (["Created", "Completed"], "completed")


def test_the_intent_is_taken_down_once() -> None:
    given = order()
    given.await_payment(INTENT, at())
    given.await_payment(INTENT, at())
    assert (then(given), given.status) == (["AwaitingPayment"], "awaiting_payment")


def test_an_order_waits_for_one_intent_only() -> None:
    given = awaiting()
    with pytest.raises(OrderNotOpen):
        given.await_payment("pi_2", at())


def test_a_charge_completes_the_order() -> None:
    given = awaiting()
    pays(given)
    assert (then(given), given.status, given.charge_id) == (["ChargeCreated", "Completed"], "completed", "ch_1")
    assert given.refunds == ()


def test_pay_twice_the_second_time_is_refused() -> None:
    given = awaiting()
    pays(given)
    with pytest.raises(OrderNotOpen):
        given.check_payable(at().at)
    with pytest.raises(OrderNotOpen):
        given.await_payment("pi_2", at())


def test_pay_after_the_deadline_is_refused() -> None:
    given = order()
    with pytest.raises(OrderNotOpen):
        given.check_payable(DEADLINE)
    with pytest.raises(OrderNotOpen):
        given.await_payment(INTENT, at(LATER))


def test_a_charge_of_another_amount_currency_or_intent_is_never_taken() -> None:
    given = awaiting()
    good = charge(given)
    for bad in (
        replace(good, money=Money(good.money.amount + 1, "EUR")),
        replace(good, money=Money(good.money.amount, "USD")),
        replace(good, payment_intent_id="pi_2"),
    ):
        with pytest.raises(ChargeMismatch):
            given.check_charge(bad)
    given.check_charge(good)


def test_a_declined_charge_leaves_the_order_open_for_another_card() -> None:
    given = awaiting()
    given.note_failure(ChargeFailure(INTENT, "card_declined", "generic_decline", "ch_0"), at())
    assert (then(given), given.is_open) == (["ChargeFailed"], True)
    pays(given)
    assert given.status == "completed"


def test_the_same_refusal_heard_twice_is_one_event() -> None:
    given = awaiting()
    failure = ChargeFailure(INTENT, "card_declined", "generic_decline", "ch_0")
    given.note_failure(failure, at())
    given.note_failure(failure, at())
    assert then(given) == ["ChargeFailed"]


def test_cancel_before_payment() -> None:
    given = awaiting()
    given.cancel(at())
    assert (then(given), given.status) == (["Cancelled"], "cancelled")
    with pytest.raises(OrderNotOpen):
        given.cancel(at())


def test_cancel_after_paying_is_refused() -> None:
    given = awaiting()
    pays(given)
    with pytest.raises(OrderNotOpen):
        given.cancel(at())


def test_expiry_waits_for_the_deadline() -> None:
    given = order()
    assert not given.expire(at(DEADLINE - timedelta(microseconds=1)))
    assert given.expire(at(DEADLINE))
    assert not given.expire(at(LATER))
    assert (then(given), given.status) == (["Expired"], "expired")


def test_a_paid_order_does_not_expire() -> None:
    given = awaiting()
    pays(given)
    assert not given.expire(at(LATER))


def test_late_money_completes_an_expired_order_whose_tickets_are_free() -> None:
    given = awaiting()
    given.expire(at(LATER))
    assert given.takes_late_money()
    pays(given, LATER)
    assert given.status == "completed"


def test_late_money_without_tickets_is_due_to_go_back() -> None:
    given = awaiting()
    given.expire(at(LATER))
    pays_in_vain(given)
    due = Refund(1, "ch_1", given.total, "sold_out")
    assert (given.status, given.due_moves()) == ("expired", (due,))
    for _ in range(2):
        note_refund(given, RefundMade("re_1", "ch_1", given.total, 1), at(LATER))
    assert (given.due_moves(), given.refund_id) == ((), "re_1")
    assert then(given) == ["Expired", "ChargeCreated", "RefundCreated"]


def test_money_for_an_open_order_whose_tickets_are_gone_ends_it() -> None:
    given = awaiting()
    pays_in_vain(given)
    assert then(given) == ["ChargeCreated", "Expired"]
    assert given.due_moves()


def test_what_the_buyer_cancelled_takes_no_money() -> None:
    given = awaiting()
    given.cancel(at())
    assert not given.takes_late_money()


def test_a_closed_intent_is_noted_once() -> None:
    given = awaiting()
    given.expire(at(LATER))
    assert given.intent_open
    given.note_failure(ChargeFailure(INTENT, INTENT_CANCELED), at(LATER))
    given.note_failure(ChargeFailure(INTENT, INTENT_CANCELED), at(LATER))
    assert (then(given), given.intent_open) == (["Expired", "ChargeFailed"], False)

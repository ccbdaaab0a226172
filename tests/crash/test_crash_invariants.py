"""Every check is silent when all is well, and fails on each history that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from crash import invariants
from crash.evidence import Charge, Evidence, Listing, Order
from crash.history import BAD_CARD, CANCEL, OFFER, PAY, RESERVE, Try
from crash.invariants import CHECKS, check_all
from tests.crash import world
from tests.crash.world import event, good_evidence, good_orders, good_tries, order, partitions, record, request


@dataclass(frozen=True)
class Broken:
    """One thing that went wrong, and the check that has to see it."""

    check: invariants.Check
    tries: Callable[[], list[Try]] = good_tries
    changed: dict[str, Any] = field(default_factory=dict)


def changed_try(number: int, **change: Any) -> Callable[[], list[Try]]:
    return lambda: [msgspec.structs.replace(t, **change) if t.number == number else t for t in good_tries()]


def without(*numbers: int) -> Callable[[], list[Try]]:
    return lambda: [t for t in good_tries() if t.number not in numbers]


def more_tries(*tries: Try) -> Callable[[], list[Try]]:
    return lambda: [*good_tries(), *tries]


def orders(**changed: Order | None) -> dict[str, Any]:
    """The orders, with some changed or gone."""
    return {"orders": tuple(found for one in good_orders() if (found := changed.get(one.id, one)) is not None)}


def charges(*more: Charge, without: str = "") -> dict[str, Any]:
    return {"charges": (*(one for one in world.good_charges() if one.id != without), *more)}


def listing(**changed: int) -> dict[str, Any]:
    return {"listings": (Listing(**{"id": "L", "quantity": 3, "available": 1, "held": 0, "sold": 2, **changed}),)}


def topics(*tickets: Any, others: Any = world.ORDER_RECORDS, complete: bool = True) -> dict[str, Any]:
    return {"partitions": partitions(tickets, others, complete)}


PAID_C = Charge(id="ch_c", order="C", amount=100, succeeded=True)

BROKEN = {
    "an internal error": Broken(
        invariants.only_expected_answers,
        more_tries(request(11, RESERVE, 70, outcome="unexpected", status=500, code="internal_error")),
    ),
    "a key that is never answered": Broken(
        invariants.every_key_is_answered, more_tries(request(11, PAY, 70, key="k9", outcome="unknown", status=None))
    ),
    "another order under the same key": Broken(
        invariants.one_answer_per_key, changed_try(4, order="D", answer='{"id":"D"}')
    ),
    "another status under the same key": Broken(
        invariants.one_answer_per_key, changed_try(4, outcome="refused", status=409, code="sold_out")
    ),
    "an order that was lost": Broken(invariants.answered_orders_are_there_once, changed=orders(A=None)),
    "an order that is there twice": Broken(
        invariants.answered_orders_are_there_once, changed={"orders": (*good_orders(), good_orders()[0])}
    ),
    "one order for two requests": Broken(
        invariants.answered_orders_are_there_once, changed_try(8, order="B", answer='{"id":"B"}')
    ),
    "an order of fewer units": Broken(
        invariants.answered_orders_are_there_once, changed=orders(A=order("A", "completed", 1, charge="ch_a"))
    ),
    "a listing that was lost": Broken(invariants.answered_listings_are_there, changed={"log": world.good_log()[1:]}),
    "a listing made twice": Broken(
        invariants.answered_listings_are_there,
        changed={"log": (*world.good_log(), event(9, "M", 1, "TicketCreated", 70))},
    ),
    "one request, two orders": Broken(
        invariants.nobody_else_ordered, changed={"orders": (*good_orders(), order("D", "expired"))}
    ),
    "two orders, one of which a lost answer explains": Broken(
        invariants.nobody_else_ordered,
        more_tries(request(11, RESERVE, 70, quantity=1, outcome="unknown", status=None)),
        {"orders": (*good_orders(), order("D", "expired"), order("E", "expired"))},
    ),
    "a paid order that expired": Broken(invariants.promises_are_kept, changed=orders(A=order("A", "expired", 2))),
    "a cancelled order that expired": Broken(invariants.promises_are_kept, changed=orders(B=order("B", "expired"))),
    "an order that nobody paid": Broken(invariants.promises_are_kept, without(5)),
    "an order that only a bad card paid": Broken(
        invariants.promises_are_kept, changed_try(5, card=BAD_CARD, outcome="unknown", status=None)
    ),
    "an order that nobody cancelled": Broken(invariants.promises_are_kept, without(7)),
    "an order that stays open": Broken(invariants.promises_are_kept, changed=orders(C=order("C", "created"))),
    "two intents": Broken(
        invariants.one_intent_per_order, changed={"intents": {"pi_a": "A", "pi_b": "A", "pi_c": "C"}}
    ),
    "completed without money": Broken(invariants.money_is_right, changed=charges(without="ch_a")),
    "charged twice": Broken(
        invariants.money_is_right, changed=charges(Charge(id="ch_2", order="A", amount=200, succeeded=True))
    ),
    "charged too little": Broken(
        invariants.money_is_right,
        changed=charges(Charge(id="ch_a", order="A", amount=199, succeeded=True), without="ch_a"),
    ),
    "completed and refunded": Broken(
        invariants.money_is_right,
        changed=charges(Charge(id="ch_a", order="A", amount=200, succeeded=True, refunds=(200,)), without="ch_a"),
    ),
    "expired, and the money kept": Broken(invariants.money_is_right, changed=charges(PAID_C, without="ch_c")),
    "expired, and part of the money kept": Broken(
        invariants.money_is_right, changed=charges(msgspec.structs.replace(PAID_C, refunds=(99,)), without="ch_c")
    ),
    "money for an order that was lost": Broken(
        invariants.money_is_right, changed=charges(Charge(id="ch_d", order="D", amount=100, succeeded=True))
    ),
    "refunded twice": Broken(
        invariants.refunds_are_told_once,
        changed=charges(msgspec.structs.replace(PAID_C, refunds=(100, 100)), without="ch_c"),
    ),
    "refunded, and not told": Broken(
        invariants.refunds_are_told_once, changed=orders(C=order("C", "expired", charge="ch_c"))
    ),
    "another charge than was answered": Broken(
        invariants.paid_charges_are_the_orders, changed=orders(A=order("A", "completed", 2, charge="ch_x"))
    ),
    "an oversale": Broken(invariants.listings_add_up, changed=listing(quantity=1, available=-1)),
    "more sold than ordered": Broken(invariants.listings_add_up, changed=listing(available=0, sold=3)),
    "units that are nowhere": Broken(invariants.listings_add_up, changed=listing(available=0)),
    "units held for ever": Broken(invariants.listings_add_up, changed=listing(available=0, held=1)),
    "expired early": Broken(
        invariants.nothing_expired_early,
        changed={
            "log": (*world.good_log(), event(9, "L", 5, "TicketReleased", 59, order_id="A", reason="lapsed")),
        },
    ),
    "a gap": Broken(invariants.topics_have_no_gaps, changed=topics(record("L", 1), record("L", 3))),
    "a gap at the beginning": Broken(invariants.topics_have_no_gaps, changed=topics(record("L", 2))),
    "a gap after what the broker dropped": Broken(
        invariants.topics_have_no_gaps, changed=topics(record("L", 3), record("L", 5), complete=False)
    ),
    "two stories under one sequence": Broken(
        invariants.topics_have_no_gaps, changed=topics(record("L", 1), record("L", 1, data="[]"))
    ),
    "an event under another key": Broken(
        invariants.topics_have_no_gaps, changed=topics(record("L", 1), record("L", 2, key="M"))
    ),
    "a key in two partitions": Broken(
        invariants.topics_have_no_gaps, changed=topics(record("L", 1), others=(record("L", 1),))
    ),
    "an event that never came to Kafka": Broken(
        invariants.topics_have_the_log, changed=topics(*world.TICKET_RECORDS[:-1])
    ),
    "an event that is not in the log": Broken(
        invariants.topics_have_the_log, changed=topics(*world.TICKET_RECORDS, record("M", 1))
    ),
}


def test_all_is_well() -> None:
    assert check_all(good_tries(), good_evidence()) == []


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(name: str) -> None:
    broken = BROKEN[name]
    found = list(broken.check(broken.tries(), good_evidence(**broken.changed)))
    assert found
    assert all("\n" not in line for line in found)


def test_every_check_was_broken() -> None:
    assert {broken.check for broken in BROKEN.values()} == set(CHECKS)


def test_a_lost_answer_explains_an_order() -> None:
    tries = [*good_tries(), request(11, RESERVE, 70, quantity=1, outcome="unknown", status=None)]
    evidence = good_evidence(orders=(*good_orders(), order("D", "expired")))
    assert list(invariants.nobody_else_ordered(tries, evidence)) == []


def test_a_cancellation_whose_answer_was_lost_may_have_happened_or_not() -> None:
    tries = [
        msgspec.structs.replace(t, outcome="unknown", status=None) if t.kind == CANCEL else t for t in good_tries()
    ]
    for status in ("cancelled", "expired"):
        evidence = good_evidence(**orders(B=order("B", status)))
        assert list(invariants.promises_are_kept(tries, evidence)) == []


def test_what_the_broker_dropped_is_not_missed() -> None:
    evidence: Evidence = good_evidence(**topics(record("L", 3), record("L", 4), complete=False))
    assert list(invariants.topics_have_no_gaps(good_tries(), evidence)) == []
    assert list(invariants.topics_have_the_log(good_tries(), evidence)) == []


def test_a_listing_without_an_answer_is_not_promised() -> None:
    tries = [
        msgspec.structs.replace(t, outcome="unknown", listing=None) if t.kind == OFFER else t for t in good_tries()
    ]
    assert list(invariants.answered_listings_are_there(tries, good_evidence(log=()))) == []


def test_a_payment_that_was_only_tried_by_a_good_card_explains_a_completed_order() -> None:
    tries = [
        msgspec.structs.replace(t, outcome="unknown", status=None) if t.kind == PAY and t.order == "A" else t
        for t in good_tries()
    ]
    assert list(invariants.promises_are_kept(tries, good_evidence())) == []

"""A small run in which all is well: one order was paid, one cancelled, one expired and its money went back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from crash.evidence import Charge, Evidence, Listing, LogEvent, Order
from crash.history import CANCEL, GOOD_CARD, OFFER, PAY, RESERVE, Try
from crash.topics import Partition, Record

SECOND = 1_000_000_000
DEADLINE = "1970-01-01T00:01:00Z"
"""Of every order: the sixtieth second."""


def request(number: int, kind: str, at: int, **more: Any) -> Try:
    """One that was sent in second `at` and answered a second later."""
    return Try(
        **{
            "number": number,
            "person": 0 if kind == OFFER else 1,
            "kind": kind,
            "started_ns": at * SECOND,
            "ended_ns": (at + 1) * SECOND,
            "outcome": "ok",
            "status": 201,
            "listing": "L",
            **more,
        }
    )


def good_tries() -> list[Try]:
    """What the clients saw. The first order's first answer was lost; it was asked for again under its key."""
    paid = json.dumps({"charge_id": "ch_a", "status": "succeeded"})
    return [
        request(1, OFFER, 0, quantity=3, key="k1", answer='{"id":"L"}'),
        request(2, RESERVE, 2, quantity=2, key="k2", outcome="unknown", status=None),
        request(3, RESERVE, 4, quantity=2, key="k2", order="A", answer='{"id":"A"}'),
        request(4, RESERVE, 6, quantity=2, key="k2", order="A", answer='{"id":"A"}'),
        request(5, PAY, 8, order="A", card=GOOD_CARD, key="k3", answer=paid),
        request(6, RESERVE, 10, quantity=1, order="B", answer='{"id":"B"}'),
        request(7, CANCEL, 12, order="B", status=200, answer="{}"),
        request(8, RESERVE, 14, quantity=1, order="C", answer='{"id":"C"}'),
        request(9, PAY, 59, order="C", card=GOOD_CARD, outcome="refused", status=409, code="order_not_open"),
        request(10, RESERVE, 62, quantity=2, outcome="refused", status=409, code="sold_out"),
    ]


def order(order_id: str, status: str, units: int = 1, **more: Any) -> Order:
    """One of person 1."""
    fields = {"person": 1, "listing": "L", "amount": 100 * units, "charge": None, "refund": None}
    return Order(**{**fields, "id": order_id, "status": status, "units": units, **more})


def good_orders() -> tuple[Order, ...]:
    return (
        order("A", "completed", 2, charge="ch_a"),
        order("B", "cancelled"),
        order("C", "expired", charge="ch_c", refund="re_c"),
    )


def good_charges() -> tuple[Charge, ...]:
    return (
        Charge(id="ch_declined", order="A", amount=200, succeeded=False),
        Charge(id="ch_a", order="A", amount=200, succeeded=True),
        Charge(id="ch_c", order="C", amount=100, succeeded=True, refunds=(100,)),
    )


def event(position: int, subject: str, sequence: int, kind: str, at: int, **data: Any) -> LogEvent:
    topic = "stagedoor.tickets" if subject == "L" else "stagedoor.orders"
    return LogEvent(
        position=position,
        subject=subject,
        sequence=sequence,
        type=kind,
        at_ns=at * SECOND,
        data=data,
        topic=topic,
    )


def good_log() -> tuple[LogEvent, ...]:
    """The part of it that is looked at."""
    return (
        event(1, "L", 1, "TicketCreated", 1, listing={"hold_seconds": 46}),
        event(2, "A", 1, "OrderCreated", 3, expires_at=DEADLINE),
        event(3, "L", 2, "TicketSold", 9, order_id="A"),
        event(4, "B", 1, "OrderCreated", 11, expires_at=DEADLINE),
        event(5, "L", 3, "TicketReleased", 13, order_id="B", reason="cancelled"),
        event(6, "C", 1, "OrderCreated", 15, expires_at=DEADLINE),
        event(7, "L", 4, "TicketReleased", 61, order_id="C", reason="expired"),
        event(8, "C", 2, "OrderExpired", 61),
    )


def record(subject: str, sequence: int, **more: Any) -> Record:
    fields = {"key": subject, "subject": subject, "sequence": sequence, "id": f"{subject}/{sequence}", "data": "{}"}
    return Record(**{**fields, **more})


def partitions(tickets: tuple[Record, ...], orders: tuple[Record, ...], complete: bool = True) -> tuple[Partition, ...]:
    return (
        Partition(topic="stagedoor.tickets", number=0, records=tickets, complete=complete),
        Partition(topic="stagedoor.orders", number=0, records=orders, complete=complete),
    )


TICKET_RECORDS = (record("L", 1), record("L", 2), record("L", 3), record("L", 2), record("L", 3), record("L", 4))
"""The relay was killed after the third."""

ORDER_RECORDS = (record("A", 1), record("B", 1), record("C", 1), record("C", 2))


def good_evidence(**changed: Any) -> Evidence:
    """What the house has, but for what is changed."""
    fields: Mapping[str, Any] = {
        "orders": good_orders(),
        "listings": (Listing(id="L", quantity=3, available=1, held=0, sold=2),),
        "intents": {"pi_a": "A", "pi_c": "C"},
        "charges": good_charges(),
        "log": good_log(),
        "partitions": partitions(TICKET_RECORDS, ORDER_RECORDS),
    }
    return Evidence(**{**fields, **changed})

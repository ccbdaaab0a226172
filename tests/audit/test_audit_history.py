"""`stagedoor audit ticket|order|user`: every event with its cause and the state after it, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.order import ChargeFailure, Order
from tests.audit.conftest import Stagedoor
from tests.audit.history import History
from tests.domain.scenes import BUYER, OTHER, SELLER
from tests.projections.stories import append

ROOT = Path(__file__).resolve().parents[2]


def uid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"


@pytest.fixture
def order(database_url: str) -> Order:
    """Listed at noon; ordered a minute later, declined at 12:03, paid at 12:04. BUYER's account is the first event."""
    history = History()
    history.signs_up(BUYER, -5)
    ticket = history.listed(0, title="Floor, \x1b[31mred")
    order = history.ordered(1, 1, BUYER, (ticket, 2))
    history.awaits_payment(order, 2)
    order.note_failure(
        ChargeFailure(f"pi_{order.id.int}", "card_declined", "do_not_honor", "ch_no"), history.stamp(3, BUYER)
    )
    history.take(order)
    history.paid(order, 4)
    append(database_url, history.events)
    return order


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


TICKET_STATE = {
    "id": uid(101),
    "seller_id": str(SELLER),
    "title": "Floor, \x1b[31mred",
    "event": {
        "name": "Semi-final",
        "starts_at": "2026-07-11T12:00:00Z",
        "venue": "AT&T Stadium",
        "promoter": "FIFA",
        "category": "football",
    },
    "price": {"amount": 2500, "currency": "EUR"},
    "quantity": 5,
    "description": None,
    "hold_seconds": None,
    "refund_until": None,
    "refund_fee": 0,
    "resell_returned": True,
    "status": "open",
    "created_at": "2026-06-11T12:00:00Z",
}


def test_a_tickets_events_as_json(order: Order, stagedoor: Stagedoor) -> None:
    said = stagedoor("audit", "ticket", order.items[0].ticket_id, "--json")
    assert (said.code, said.err) == (0, "")
    listed, reserved, sold = objects(said.out)
    assert list(listed) == [
        "position", "sequence", "time", "type", "actor", "causation_id", "correlation_id", "data", "state_after",
    ]  # fmt: skip
    assert (listed["position"], listed["sequence"], listed["type"]) == (2, 1, "TicketCreated")
    assert listed["state_after"] == {
        **TICKET_STATE, "version": 1, "available": 5, "held": 0, "sold": 0, "updated_at": "2026-06-11T12:00:00Z",
    }  # fmt: skip
    assert reserved == {
        "position": 3,
        "sequence": 2,
        "time": "2026-06-11T12:01:00Z",
        "type": "TicketReserved",
        "actor": str(BUYER),
        "causation_id": uid(1003),
        "correlation_id": uid(2003),
        "data": {
            "order_id": uid(201),
            "quantity": 2,
            "expires_at": "2026-06-11T12:16:00Z",
            "available": 3,
            "held": 2,
            "sold": 0,
        },
        "state_after": {
            **TICKET_STATE, "version": 2, "available": 3, "held": 2, "sold": 0, "updated_at": "2026-06-11T12:01:00Z",
        },
    }  # fmt: skip
    assert (sold["position"], sold["actor"], sold["time"]) == (9, None, "2026-06-11T12:04:00Z")
    assert {name: sold["state_after"][name] for name in ("available", "held", "sold")} == {
        "available": 3, "held": 0, "sold": 2,
    }  # fmt: skip


UNTIL_12_02 = r"""
position  sequence  time                         event
       4         1  2026-06-11T12:01:00.000000Z  OrderCreated
                                                   buyer_id                00000000-0000-0000-0000-000000000002
                                                   items.0.ticket_id       00000000-0000-0000-0000-000000000065
                                                   items.0.seller_id       00000000-0000-0000-0000-000000000001
                                                   items.0.title           Floor, \x1b[31mred
                                                   items.0.quantity        2
                                                   items.0.price.amount    2500
                                                   items.0.price.currency  EUR
                                                   items.0.refund_fee      0
                                                   items.0.refunded        0
                                                   total.amount            5000
                                                   total.currency          EUR
                                                   expires_at              2026-06-11T12:16:00Z
                                                   actor                   00000000-0000-0000-0000-000000000002
                                                   causation               00000000-0000-0000-0000-0000000003eb
                                                   correlation             00000000-0000-0000-0000-0000000007d3
                                                   state                   created: 2 x Floor, \x1b[31m¤
       5         2  2026-06-11T12:02:00.000000Z  OrderAwaitingPayment
                                                   payment_intent_id       pi_201
                                                   actor                   00000000-0000-0000-0000-000000000002
                                                   causation               00000000-0000-0000-0000-0000000003ec
                                                   correlation             00000000-0000-0000-0000-0000000007d4
                                                   state                   awaiting_payment: 2 x Floor, \x1b[31m¤

2 events; the state after: awaiting_payment: 2 x Floor, \x1b[31m¤
""".replace("¤", "red for 50.00 EUR")


def test_an_order_as_of_a_moment_as_a_table(order: Order, stagedoor: Stagedoor) -> None:
    """The moment of an event is after it; what a seller typed does not steer the terminal."""
    said = stagedoor("audit", "order", order.id, "--as-of", "2026-06-11T14:02:00+02:00")
    assert (said.code, said.err) == (0, "")
    assert said.out == UNTIL_12_02.removeprefix("\n")


def test_the_whole_order_as_a_table(order: Order, stagedoor: Stagedoor) -> None:
    said = stagedoor("audit", "order", order.id)
    firsts = [line.split() for line in said.out.splitlines() if line[:9].strip().isdigit()]
    assert [(first[0], first[1], first[3]) for first in firsts] == [
        ("4", "1", "OrderCreated"),
        ("5", "2", "OrderAwaitingPayment"),
        ("6", "3", "ChargeFailed"),
        ("7", "4", "ChargeCreated"),
        ("8", "5", "OrderCompleted"),
    ]
    assert "  decline_code            do_not_honor\n" in said.out
    assert "  actor                   the house\n" in said.out
    assert said.out.endswith(
        "5 events; the state after: completed: 2 x Floor, \\x1b[31mred for 50.00 EUR, charge ch_201\n"
    )


def test_as_of_ends_the_json_too(order: Order, stagedoor: Stagedoor) -> None:
    said = stagedoor("audit", "order", order.id, "--json", "--as-of", "2026-06-11T12:03:59.999999Z")
    found = objects(said.out)
    assert [event["type"] for event in found] == ["OrderCreated", "OrderAwaitingPayment", "ChargeFailed"]
    assert found[-1]["state_after"]["status"] == "awaiting_payment"
    assert found[-1]["state_after"]["charge_id"] is None


def test_an_account(database_url: str, stagedoor: Stagedoor) -> None:
    history = History()
    user = history.signs_up(OTHER, 0)
    user.appoint(True, history.stamp(1))
    user.note_changes(("name", "email"), history.stamp(2, OTHER))
    user.erase(history.stamp(3, OTHER))
    history.take(user)
    append(database_url, history.events)
    created, appointed, changed, erased = objects(stagedoor("audit", "user", OTHER, "--json").out)
    assert created["state_after"] == {
        "id": str(OTHER),
        "version": 1,
        "admin": False,
        "erased": False,
        "created_at": "2026-06-11T12:00:00Z",
        "updated_at": "2026-06-11T12:00:00Z",
    }
    assert (appointed["actor"], appointed["state_after"]["admin"]) == (None, True)
    assert changed["data"] == {"changed": ["name", "email"], "admin": True}
    assert (erased["type"], erased["state_after"]["erased"], erased["state_after"]["version"]) == (
        "UserErased",
        True,
        4,
    )
    assert stagedoor("audit", "user", OTHER).out.endswith("4 events; the state after: erased\n")


def test_a_history_longer_than_a_page_is_whole(database_url: str, stagedoor: Stagedoor) -> None:
    history = History()
    ticket = history.listed(0)
    for number in range(1_300):
        history.cancelled(history.ordered(1, number, BUYER, (ticket, 1)), 1)
    append(database_url, history.events)
    found = objects(stagedoor("audit", "ticket", ticket.id, "--json").out)
    assert [event["sequence"] for event in found] == list(range(1, 2_602))
    assert {event["state_after"]["available"] for event in found} == {4, 5}
    table = stagedoor("audit", "ticket", ticket.id).out
    assert table.count("  TicketReleased\n") == 1_300
    assert table.count("sequence") == 1
    assert table.endswith("2601 events; the state after: open: 5 available, 0 held, 0 sold of 5 at 25.00 EUR\n")


def test_a_reader_that_leaves_ends_it_without_a_word(database_url: str) -> None:
    history = History()
    ticket = history.listed(0)
    for number in range(300):
        history.cancelled(history.ordered(1, number, BUYER, (ticket, 1)), 1)
    append(database_url, history.events)
    command = [sys.executable, "-m", "cli.main", "audit", "ticket", str(ticket.id), "--json"]
    environment = {**os.environ, "DATABASE_URL": database_url}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["sequence"] == 1
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(20) == 1


BAD_TIMES = [
    "yesterday", "", "2026-06-11", "2026-06-11T12:00:00", "2026-13-11T12:00:00Z", "1781179200",
    "0001-01-01T00:00:00+14:00",
]  # fmt: skip


@pytest.mark.parametrize("time", BAD_TIMES)
def test_what_is_no_time_with_an_offset_is_said(stagedoor: Stagedoor, time: str) -> None:
    said = stagedoor("audit", "ticket", uid(101), "--as-of", time)
    assert said.code == 2
    assert said.one_line() == (
        f"Invalid value for '--as-of': {time!r} is no time of RFC 3339 with an offset, such as 2026-11-20T13:03:30Z"
    )


@pytest.mark.parametrize("kind", ["ticket", "order", "user"])
def test_what_is_no_id_is_said(stagedoor: Stagedoor, kind: str) -> None:
    said = stagedoor("audit", kind, "4711")
    assert said.code == 2
    assert said.one_line() == "Invalid value for 'ID': '4711' is not a valid UUID."


@pytest.mark.parametrize("kind", ["ticket", "order", "user"])
def test_what_is_not_in_the_log_is_said(order: Order, stagedoor: Stagedoor, kind: str) -> None:
    said = stagedoor("audit", kind, uid(4711))
    assert said.code == 1
    assert said.one_line() == f"there is no {kind} {uid(4711)}"


@pytest.mark.parametrize(
    ("kind", "number", "other"),
    [("ticket", 201, "an order"), ("order", 2, "a user"), ("user", 101, "a ticket"), ("order", 101, "a ticket")],
)
def test_what_is_of_another_kind_is_said(
    order: Order, stagedoor: Stagedoor, kind: str, number: int, other: str
) -> None:
    for more in ([], ["--json"], ["--as-of", "2020-01-01T00:00:00Z"]):
        said = stagedoor("audit", kind, uid(number), *more)
        assert said.code == 1
        assert said.one_line() == f"there is no {kind} {uid(number)}: that is {other}"


def test_what_was_not_there_yet_is_said(order: Order, stagedoor: Stagedoor) -> None:
    said = stagedoor("audit", "order", order.id, "--as-of", "2026-06-11T12:00:59Z")
    assert said.code == 1
    assert said.one_line() == (
        f"there was no order {order.id} at 2026-06-11T12:00:59.000000Z: it was made at 2026-06-11T12:01:00.000000Z"
    )


DAMAGED = {
    "position 7 (stagedoor.Order.ChargeCreated)": "DELETE FROM stored_events WHERE notification_id = 6",
    "position 6 (stagedoor.Order.ChargeFailed)": "UPDATE stored_events SET state = '{' WHERE notification_id = 6",
    "position 6 (stagedoor.Order.Unheard)": "UPDATE stored_events SET topic = 'stagedoor.Order.Unheard'"
    " WHERE notification_id = 6",
}


@pytest.mark.parametrize("said_where", DAMAGED)
def test_a_damaged_log_is_said_after_what_could_be_read(
    order: Order, database_url: str, stagedoor: Stagedoor, said_where: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute(DAMAGED[said_where].encode()).rowcount == 1
    said = stagedoor("audit", "order", order.id, "--json")
    assert said.code == 1
    assert [event["sequence"] for event in objects(said.out)] == [1, 2]
    assert said.err.startswith(f"stagedoor: the event at {said_where} cannot be read: ")
    assert said.err.endswith("; `stagedoor verify` tells what else is wrong\n")
    assert said.err.count("\n") == 1


def test_a_database_without_a_log_is_said(database_url: str, stagedoor: Stagedoor) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP TABLE stored_events")
    said = stagedoor("audit", "ticket", uid(101))
    assert said.code == 2
    assert said.one_line() == "the database has no event log: `stagedoor migrate` makes it"

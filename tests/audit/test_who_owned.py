"""`stagedoor audit who-owned`: who held and who owned what, at any moment."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import psycopg
import pytest

from domain.records import Account
from tests.audit.conftest import Stagedoor
from tests.audit.history import History
from tests.domain.scenes import BUYER, OTHER
from tests.given_accounts import give_account
from tests.projections.stories import append

TICKET = UUID(int=101)


@pytest.fixture
def ticket_id(database_url: str) -> UUID:
    """Nine units: BUYER's two, paid at 12:05; OTHER's three, open until 12:17; BUYER's one, cancelled at 12:04.
    At 12:20 the timers come; at 12:30 BUYER's two come back by a refund, one by one."""
    history = History()
    ticket = history.listed(0, quantity=9, title="Floor, standing")
    paid = history.ordered(1, 1, BUYER, (ticket, 2))
    left = history.ordered(2, 2, OTHER, (ticket, 3))
    cancelled = history.ordered(3, 3, BUYER, (ticket, 1))
    history.cancelled(cancelled, 4)
    history.awaits_payment(paid, 4)
    history.paid(paid, 5)
    history.expired(left, 20)
    history.returned(paid, 30, 1)
    history.returned(paid, 31, 1)
    append(database_url, history.events)
    give_account(database_url, Account(BUYER, "bea@example.org", "Bea \x1b[2J", "h"))
    return ticket.id


def at(stagedoor: Stagedoor, time: str, *more: str) -> dict[str, Any]:
    said = stagedoor("audit", "who-owned", TICKET, "--at", f"2026-06-11T{time}Z", "--json", *more)
    assert (said.code, said.err) == (0, "")
    assert said.out.count("\n") == 1
    found: dict[str, Any] = json.loads(said.out)
    return found


def share(number: int, buyer: UUID, quantity: int, since: str, until: str | None = None) -> dict[str, Any]:
    return {
        "order_id": str(UUID(int=200 + number)),
        "buyer_id": str(buyer),
        "quantity": quantity,
        "status": "sold" if until is None else "held",
        "since": f"2026-06-11T{since}Z",
        "expires_at": None if until is None else f"2026-06-11T{until}Z",
    }


def test_everything_about_one_moment(ticket_id: UUID, stagedoor: Stagedoor) -> None:
    assert at(stagedoor, "12:05:00") == {
        "ticket_id": str(ticket_id),
        "at": "2026-06-11T12:05:00Z",
        "version": 6,
        "title": "Floor, standing",
        "status": "open",
        "quantity": 9,
        "available": 4,
        "held": 3,
        "lapsed": 0,
        "sold": 2,
        "owners": [share(2, OTHER, 3, "12:02:00", "12:17:00"), share(1, BUYER, 2, "12:05:00")],
    }


MOMENTS = {
    "12:00:00": ((9, 0, 0, 0), []),
    "12:00:59.999999": ((9, 0, 0, 0), []),
    "12:01:00": ((7, 2, 0, 0), [share(1, BUYER, 2, "12:01:00", "12:16:00")]),
    "12:03:30": (
        (3, 6, 0, 0),
        [
            share(1, BUYER, 2, "12:01:00", "12:16:00"),
            share(2, OTHER, 3, "12:02:00", "12:17:00"),
            share(3, BUYER, 1, "12:03:00", "12:18:00"),
        ],
    ),
    "12:16:59.999999": ((4, 3, 0, 2), [share(2, OTHER, 3, "12:02:00", "12:17:00"), share(1, BUYER, 2, "12:05:00")]),
    "12:17:00": ((4, 3, 3, 2), [share(2, OTHER, 3, "12:02:00", "12:17:00"), share(1, BUYER, 2, "12:05:00")]),
    "12:20:00": ((7, 0, 0, 2), [share(1, BUYER, 2, "12:05:00")]),
    "12:30:00": ((8, 0, 0, 1), [share(1, BUYER, 1, "12:05:00")]),
    "12:31:00": ((9, 0, 0, 0), []),
    "23:59:59": ((9, 0, 0, 0), []),
}
"""By moment: available, held, of these past their deadline, sold; and the orders."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_any_moment(ticket_id: UUID, stagedoor: Stagedoor, moment: str) -> None:
    counts, shares = MOMENTS[moment]
    found = at(stagedoor, moment)
    assert tuple(found[name] for name in ("available", "held", "lapsed", "sold")) == counts
    assert found["owners"] == shares


TABLE = r"""
Floor, standing, open at 2026-06-11T12:19:00.000000Z

units  status  since                        held until                   ¤order¤  ¤buyer¤  name today
    3  held    2026-06-11T12:02:00.000000Z  2026-06-11T12:17:00.000000Z  ¤202¤  ¤3¤
    2  sold    2026-06-11T12:05:00.000000Z                               ¤201¤  ¤2¤  Bea \x1b[2J

2 sold + 3 held (3 of them past the deadline) + 4 available = 9 units, version 6
"""


def test_the_table_shows_the_names_there_are(ticket_id: UUID, stagedoor: Stagedoor) -> None:
    said = stagedoor("audit", "who-owned", ticket_id, "--at", "2026-06-11T12:19:00Z")
    assert (said.code, said.err) == (0, "")
    expected = TABLE.removeprefix("\n")
    for short in ("order", "buyer"):
        expected = expected.replace(f"¤{short}¤", short.ljust(36))
    for number in (202, 201, 3, 2):
        expected = expected.replace(f"¤{number}¤", str(UUID(int=number)))
    assert said.out == expected


def test_a_table_of_nobody_has_the_sums(ticket_id: UUID, stagedoor: Stagedoor) -> None:
    assert stagedoor("audit", "who-owned", ticket_id, "--at", "2026-06-11T12:00:00Z").out == (
        "Floor, standing, open at 2026-06-11T12:00:00.000000Z\n\n0 sold + 0 held + 9 available = 9 units, version 1\n"
    )


def test_names_are_in_the_json_only_when_asked_for(ticket_id: UUID, stagedoor: Stagedoor) -> None:
    held, sold = at(stagedoor, "12:05:00", "--names")["owners"]
    assert held == {**share(2, OTHER, 3, "12:02:00", "12:17:00"), "buyer_name": None}
    assert sold == {**share(1, BUYER, 2, "12:05:00"), "buyer_name": "Bea \x1b[2J"}


def test_more_owners_than_are_asked_for_at_a_time(database_url: str, stagedoor: Stagedoor) -> None:
    history = History()
    ticket = history.listed(0, quantity=2_500)
    buyers = [UUID(int=10_000 + number) for number in range(2_100)]
    for number, buyer in enumerate(buyers):
        history.ordered(1, number, buyer, (ticket, 1))
    append(database_url, history.events)
    found = at(stagedoor, "12:02:00")
    assert (found["held"], found["available"]) == (2_100, 400)
    assert [owner["buyer_id"] for owner in found["owners"]] == [str(buyer) for buyer in buyers]


def test_an_order_that_is_not_in_the_log(ticket_id: UUID, database_url: str, stagedoor: Stagedoor) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM stored_events WHERE topic = 'stagedoor.Order.Created'")
    assert [owner["buyer_id"] for owner in at(stagedoor, "12:05:00")["owners"]] == [None, None]
    assert "not in the log" in stagedoor("audit", "who-owned", ticket_id, "--at", "2026-06-11T12:05:00Z").out


WRONG = {
    "4711 --at 2026-06-11T12:05:00Z": (2, "Invalid value for 'TICKET': '4711' is not a valid UUID."),
    f"{TICKET}": (2, "Missing option '--at'."),
    f"{UUID(int=5)} --at 2026-06-11T12:05:00Z": (1, f"there is no ticket {UUID(int=5)}"),
    f"{UUID(int=201)} --at 2026-06-11T12:05:00Z": (1, f"there is no ticket {UUID(int=201)}: that is an order"),
    f"{TICKET} --at noon": (
        2,
        "Invalid value for '--at': 'noon' is no time of RFC 3339 with an offset, such as 2026-11-20T13:03:30Z",
    ),
    f"{TICKET} --at 2026-06-11T11:59:59Z": (
        1,
        f"there was no ticket {TICKET} at 2026-06-11T11:59:59.000000Z:" + " it was made at 2026-06-11T12:00:00.000000Z",
    ),
}


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_input(ticket_id: UUID, stagedoor: Stagedoor, arguments: str) -> None:
    said = stagedoor("audit", "who-owned", *arguments.split())
    assert (said.code, said.one_line()) == WRONG[arguments]

"""`stagedoor what-if`: under the same rule nothing changes; under another one, what the log can tell."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from cli.what_if.model import Model
from cli.what_if.rule import Rule
from domain.order import Order
from tests.audit.conftest import Stagedoor
from tests.audit.history import History
from tests.domain.scenes import BUYER, OTHER
from tests.projections.stories import Story, append


def pay(history: History, order: Order, minutes: float) -> None:
    history.awaits_payment(order, minutes - 0.5)
    history.paid(order, minutes)


def asked(stagedoor: Stagedoor, *arguments: object) -> dict[str, Any]:
    said = stagedoor("what-if", "--json", *arguments)
    assert said.code == 0, said
    assert said.out.count("\n") == 1
    assert said.err.startswith("Replaying the log (position): ")
    found: dict[str, Any] = json.loads(said.out)
    return found


@pytest.fixture
def rush(database_url: str) -> str:
    """Five units. Order 1 (two units) is paid four minutes after it was made, order 2 (one) after eight. Order 3 (two)
    is left alone and expires at 12:18; order 4 takes its two units at 12:20 and pays; then money for order 3 comes
    and goes back. Order 5, of another listing in yen that has plenty, is paid after two minutes."""
    history = History()
    floor = history.listed(0, number=1, quantity=5, title="Floor")
    hall = history.listed(0, number=2, quantity=50, amount=900, currency="JPY", title="Hall")
    first = history.ordered(1, 1, BUYER, (floor, 2))
    second = history.ordered(2, 2, OTHER, (floor, 1))
    third = history.ordered(3, 3, OTHER, (floor, 2))
    history.awaits_payment(third, 4)
    pay(history, first, 5)
    pay(history, second, 10)
    history.expired(third, 18)
    fourth = history.ordered(20, 4, BUYER, (floor, 2))
    pay(history, fourth, 21)
    history.paid(third, 25)
    fifth = history.ordered(26, 5, BUYER, (hall, 3))
    pay(history, fifth, 28)
    append(database_url, history.events)
    return database_url


def orders(made: int, completed: int, completed_in_model: int, **differences: int) -> dict[str, int]:
    counts = {"made": made, "completed": completed, "completed_in_model": completed_in_model}
    return {**counts, "expired_before_paid": 0, "refused": 0, "refused_completed": 0, "saved": 0, **differences}


EUR = {"currency": "EUR", "amount": 12_500}
JPY = {"currency": "JPY", "amount": 2_700}
FLOOR = {"ticket_id": str(UUID(int=101)), "title": "Floor", "currency": "EUR", "units": 5, "amount": 12_500}
HALL = {"ticket_id": str(UUID(int=102)), "title": "Hall", "currency": "JPY", "units": 3, "amount": 2_700}
NOTHING = {"expired_before_paid": 0, "refused": 0, "saved": 0}


def test_a_shorter_hold(rush: str, stagedoor: Stagedoor) -> None:
    """Orders 1 and 2 have lapsed when they are paid; so the late money for order 3 finds free units."""
    assert asked(stagedoor, "--hold-seconds", 180) == {
        "rule": {"hold_seconds": 180, "price_factor": None, "prices": {}},
        "end": 32,
        "orders": orders(5, 4, 3, expired_before_paid=2, saved=1),
        "revenue": [
            {**EUR, "amount_in_model": 10_000, "difference": -2_500},
            {**JPY, "amount_in_model": 2_700, "difference": 0},
        ],
        "listings_affected": 1,
        "listings": [
            {**FLOOR, "units_in_model": 4, "amount_in_model": 10_000, "difference": -2_500, "expired_before_paid": 2,
             "refused": 0, "saved": 1},
        ],
        "latest": [
            {"seconds_late": 300.0, "order_id": str(UUID(int=202)), "ordered_at": "2026-06-11T12:02:00Z",
             "paid_at": "2026-06-11T12:10:00Z"},
            {"seconds_late": 60.0, "order_id": str(UUID(int=201)), "ordered_at": "2026-06-11T12:01:00Z",
             "paid_at": "2026-06-11T12:05:00Z"},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(("seconds", "expired"), [(480, 1), (481, 0), (240, 2), (241, 1), (120, 3), (121, 2)])
def test_a_charge_at_the_deadline_is_late_as_in_truth(
    rush: str, stagedoor: Stagedoor, seconds: int, expired: int
) -> None:
    assert asked(stagedoor, "--hold-seconds", seconds)["orders"]["expired_before_paid"] == expired


def test_a_longer_hold(rush: str, stagedoor: Stagedoor) -> None:
    """Order 3 keeps its units, so order 4 finds none; its money is in time."""
    found = asked(stagedoor, "--hold-seconds", 3_600)
    assert found["orders"] == orders(5, 4, 4, refused=1, refused_completed=1, saved=1)
    assert found["listings"] == [
        {**FLOOR, "units_in_model": 5, "amount_in_model": 12_500, "difference": 0, "expired_before_paid": 0,
         "refused": 1, "saved": 1},
    ]  # fmt: skip
    assert found["latest"] == []


def test_late_money_gets_units_that_are_free_by_then(rush: str, stagedoor: Stagedoor) -> None:
    """Order 3 holds until 12:21, so order 4 finds none at 12:20; the money of 12:25 is late, as it was."""
    found = asked(stagedoor, "--hold-seconds", 18 * 60)
    assert found["orders"] == orders(5, 4, 4, refused=1, refused_completed=1, saved=1)


def test_units_that_late_money_gets_are_gone(database_url: str, stagedoor: Stagedoor) -> None:
    """Two units. Late money buys one at 12:40; order 2 holds the other until 13:05 instead of 13:00, so that order 3
    of 13:02 finds none."""
    history = History()
    floor = history.listed(0, quantity=2)
    late = history.ordered(1, 1, BUYER, (floor, 1))
    history.awaits_payment(late, 2)
    history.expired(late, 17)
    history.paid(late, 40)
    history.expired(history.ordered(45, 2, OTHER, (floor, 1)), 61)
    history.ordered(62, 3, OTHER, (floor, 1))
    append(database_url, history.events)
    assert asked(stagedoor, "--hold-seconds", 1_200)["orders"] == orders(3, 1, 1, refused=1)


def test_what_was_returned_can_be_ordered_again(database_url: str, stagedoor: Stagedoor) -> None:
    history = History()
    only = history.listed(0, quantity=1)
    first = history.ordered(1, 1, BUYER, (only, 1))
    pay(history, first, 2)
    history.returned(first, 3, 1)
    pay(history, history.ordered(4, 2, OTHER, (only, 1)), 5)
    append(database_url, history.events)
    assert asked(stagedoor, "--hold-seconds", 3_600)["orders"] == orders(2, 2, 2)


def test_the_same_hold(rush: str, stagedoor: Stagedoor) -> None:
    found = asked(stagedoor, "--hold-seconds", 900)
    assert found["orders"] == orders(5, 4, 4)
    assert found["listings"] == []


def test_another_price_for_all(rush: str, stagedoor: Stagedoor) -> None:
    found = asked(stagedoor, "--price-factor", "1.0005")
    # 2500 x 1.0005 = 2501.25 and 900 x 1.0005 = 900.45: whole units, each rounded.
    assert found["rule"] == {"hold_seconds": None, "price_factor": "1.0005", "prices": {}}
    assert found["orders"] == orders(5, 4, 4)
    assert found["revenue"] == [
        {**EUR, "amount_in_model": 12_505, "difference": 5},
        {**JPY, "amount_in_model": 2_700, "difference": 0},
    ]
    assert found["listings"] == [
        {**FLOOR, **NOTHING, "units_in_model": 5, "amount_in_model": 12_505, "difference": 5},
    ]


def test_half_a_minor_unit_is_rounded_up(rush: str, stagedoor: Stagedoor) -> None:
    found = asked(stagedoor, "--price-factor", "0.0002")  # 0.5 and 0.18
    assert [one["amount_in_model"] for one in found["revenue"]] == [5, 0]


def test_another_price_for_some(rush: str, stagedoor: Stagedoor) -> None:
    floor, hall = UUID(int=101), UUID(int=102)
    found = asked(stagedoor, "--price", f"{hall}=1000", "--price", f"{floor}=0")
    assert found["rule"]["prices"] == {str(hall): 1000, str(floor): 0}
    assert found["listings_affected"] == 2
    assert found["listings"] == [
        {**FLOOR, **NOTHING, "units_in_model": 5, "amount_in_model": 0, "difference": -12_500},
        {**HALL, **NOTHING, "units_in_model": 3, "amount_in_model": 3_000, "difference": 300},
    ]


def test_another_hold_and_another_price(rush: str, stagedoor: Stagedoor) -> None:
    found = asked(stagedoor, "--hold-seconds", 180, "--price-factor", 2)
    assert found["orders"] == orders(5, 4, 3, expired_before_paid=2, saved=1)
    assert found["revenue"] == [
        {**EUR, "amount_in_model": 20_000, "difference": 7_500},
        {**JPY, "amount_in_model": 5_400, "difference": 2_700},
    ]


TABLES = """
5 orders up to position 32
  4  completed
  3  would be completed
  2  completed, would have expired before they were paid
  0  made, would have found no units
  0  of these, completed
  1  expired although money came, would have been completed

Revenue
   was  would be  difference  currency
125.00    100.00      -25.00  EUR
 2,700     2,700          +0  JPY

Listings, 1 of 1 affected
   was  would be  difference  currency  units  would be  expired  refused  saved  listing  ¤  title
125.00    100.00      -25.00  EUR           5         4        2        0      1  ¤  Floor

Would have expired before they were paid, 2 of 2
seconds late  ordered                      paid                         order
     300.000  2026-06-11T12:02:00.000000Z  2026-06-11T12:10:00.000000Z  00000000-0000-0000-0000-0000000000ca
      60.000  2026-06-11T12:01:00.000000Z  2026-06-11T12:05:00.000000Z  00000000-0000-0000-0000-0000000000c9
"""


def test_the_tables(rush: str, stagedoor: Stagedoor) -> None:
    said = stagedoor("what-if", "--hold-seconds", 180)
    assert said.code == 0
    expected = TABLES.removeprefix("\n").replace("listing  ¤", "listing".ljust(36)).replace("¤", str(UUID(int=101)))
    assert said.out == expected
    assert said.err == "Replaying the log (position): 32 of 32\n"


def test_the_tables_of_another_price_say_nothing_of_holds(rush: str, stagedoor: Stagedoor) -> None:
    assert stagedoor("what-if", "--price-factor", 2).out.startswith(
        "5 orders up to position 32\n  4  completed\n  4  would be completed\n\nRevenue\n"
    )


def test_an_empty_log(database_url: str, stagedoor: Stagedoor) -> None:
    found = asked(stagedoor, "--hold-seconds", 60)
    assert found["orders"] == orders(0, 0, 0)
    assert found["revenue"] == []


def test_nothing_is_written(rush: str, stagedoor: Stagedoor) -> None:
    def rows() -> dict[str, Any]:
        with psycopg.connect(rush, autocommit=True) as connection:
            tables = connection.execute("SELECT relname FROM pg_stat_user_tables").fetchall()
            return {
                name: connection.execute(f"SELECT t::text FROM {name} AS t ORDER BY 1".encode()).fetchall()
                for (name,) in tables
            }

    before = rows()
    assert len(before["stored_events"]) == 32
    asked(stagedoor, "--hold-seconds", 60, "--price-factor", 2)
    assert rows() == before


def test_the_most_affected_listings_are_named_and_all_are_counted(database_url: str, stagedoor: Stagedoor) -> None:
    history = History()
    for number in range(1, 26):
        listing = history.listed(0, number=number, amount=number)
        pay(history, history.ordered(1, number, BUYER, (listing, 1)), 1 + number / 10)
    append(database_url, history.events)
    found = asked(stagedoor, "--price-factor", 0)
    assert found["listings_affected"] == 25
    assert [one["difference"] for one in found["listings"]] == list(range(-25, -5))
    assert found["revenue"] == [{"currency": "EUR", "amount": 325, "amount_in_model": 0, "difference": -325}]
    late = asked(stagedoor, "--hold-seconds", 1)
    assert late["orders"]["expired_before_paid"] == 25
    assert [one["seconds_late"] for one in late["latest"]] == [6.0 * number - 1 for number in range(25, 5, -1)]


# Random histories -------------------------------------------------------------------------------------------------

STORY_HOLD_SECONDS = 15 * 60
SEEDS = range(6)


def told(seed: int) -> Story:
    return Story(seed, listings=20, after_payment=False).tell(2_500)


def replayed(story: Story, rule: Rule) -> Model:
    model = Model(rule)
    names = set(model.stored_names)
    for event in story.events:
        if event.TOPIC in names:
            model.apply(event)
    return model


@pytest.mark.parametrize("seed", SEEDS)
def test_under_the_rule_there_was_nothing_changes(seed: int) -> None:
    story = told(seed)
    sums = replayed(story, Rule(hold_seconds=STORY_HOLD_SECONDS)).sums
    assert sums.completed == sums.completed_in_model == sum(order.status == "completed" for order in story.orders) > 50
    assert (sums.expired_before_paid, sums.refused, sums.saved) == (0, 0, 0)
    assert sums.affected() == []
    assert sum(line.amount for line in sums.lines.values()) == sum(
        order.total.amount for order in story.orders if order.status == "completed"
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_shorter_hold_refuses_nobody_and_ends_what_was_paid_later(seed: int) -> None:
    story = told(seed)
    hold = timedelta(seconds=3)
    paid_at = {event.originator_id: event.timestamp for event in story.events if isinstance(event, Order.ChargeCreated)}
    late = [
        order
        for order in story.orders
        if order.status == "completed"
        and order.charge_id is not None
        and order.created_on + hold <= paid_at[order.id] < order.expires_at
    ]
    sums = replayed(story, Rule(hold_seconds=3)).sums
    assert sums.expired_before_paid == len(late) > 10
    assert sums.refused == 0
    assert sums.completed_in_model == sums.completed - len(late) + sums.saved


@pytest.mark.parametrize("seed", SEEDS)
def test_a_longer_hold_sells_no_unit_twice(seed: int) -> None:
    story = told(seed)
    sums = replayed(story, Rule(hold_seconds=24 * 3_600)).sums
    assert sums.refused > 0
    lost = sums.refused_completed + sums.expired_before_paid
    assert sums.completed_in_model == sums.completed - lost + sums.saved
    # A listing that was never edited says how many units there were.
    edited = {event.originator_id for event in story.events if event.TOPIC == "stagedoor.Ticket.Updated"}
    quantities = {ticket.id: ticket.listing.quantity for ticket in story.tickets if ticket.id not in edited}
    for line in sums.lines.values():
        assert line.units_in_model <= quantities.get(line.ticket_id, 10**6)


def test_memory_is_for_open_orders_only() -> None:
    story = told(0)
    model = replayed(story, Rule(hold_seconds=60))
    open_ids = {
        order.id for order in story.orders if order.is_open or (order.status == "expired" and order.intent_open)
    }
    assert set(model._orders) == open_ids
    assert len(open_ids) < len(story.orders) / 2


# Wrong input ------------------------------------------------------------------------------------------------------

TICKET = UUID(int=101)
WRONG = {
    (): "say what should have been different: --hold-seconds, --price-factor or --price",
    ("--price-factor", "2", "--price", f"{TICKET}=3"): "--price-factor and --price exclude each other",
    ("--price", f"{TICKET}=3", "--price", f"{TICKET}=4"): "--price names a listing once",
    ("--hold-seconds", "0"): "Invalid value for '--hold-seconds': 0 is not in the range 1<=x<=86400.",
    ("--hold-seconds", "86401"): "Invalid value for '--hold-seconds': 86401 is not in the range 1<=x<=86400.",
    ("--hold-seconds", "soon"): "Invalid value for '--hold-seconds': 'soon' is not a valid integer range.",
    ("--price-factor", "cheap"): "Invalid value for '--price-factor': 'cheap' is no number",
    ("--price-factor", "nan"): "Invalid value for '--price-factor': 'nan': expected 0 to 1000",
    ("--price-factor", "-1"): "Invalid value for '--price-factor': '-1': expected 0 to 1000",
    ("--price-factor", "1000.1"): "Invalid value for '--price-factor': '1000.1': expected 0 to 1000",
    ("--price", "x=3"): "Invalid value for '--price': 'x' is not a valid UUID.",
    **{
        ("--price", f"{TICKET}{rest}"): f"Invalid value for '--price': '{TICKET}{rest}': expected TICKET=AMOUNT with"
        " 0 to 99999999 minor units"
        for rest in ("", "=", "=4.5", "=-1", "=100000000", "=" + "9" * 5_000, "=٣")
    },
}


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_input(stagedoor: Stagedoor, arguments: tuple[str, ...]) -> None:
    said = stagedoor("what-if", *arguments)
    assert said.code == 2
    assert said.one_line() == WRONG[arguments]


def test_a_price_for_what_is_not_there(rush: str, stagedoor: Stagedoor) -> None:
    for number, line in ((7, ""), (201, ": that is an order")):
        said = stagedoor("what-if", "--price", f"{UUID(int=number)}=1")
        assert said.code == 1
        assert said.one_line() == f"there is no ticket {UUID(int=number)}{line}"


DAMAGED = {
    "position 9 (stagedoor.Order.AwaitingPayment)": "UPDATE stored_events SET state = '{' WHERE notification_id = 9",
    "position 4 (stagedoor.Order.Created)": "DELETE FROM stored_events WHERE notification_id = 1",
}


@pytest.mark.parametrize("where", DAMAGED)
def test_a_damaged_log(rush: str, stagedoor: Stagedoor, where: str) -> None:
    with psycopg.connect(rush, autocommit=True) as connection:
        assert connection.execute(DAMAGED[where].encode()).rowcount == 1
    said = stagedoor("what-if", "--hold-seconds", 60)
    assert said.code == 1
    assert f"the event at {where} cannot be read: " in said.one_line()

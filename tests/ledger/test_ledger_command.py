"""`stagedoor ledger`: the books on the terminal and as CSV."""

from __future__ import annotations

import asyncio
import csv
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from adapters.database import make_pool
from adapters.event_log import EventLog
from cli.replay import replay
from domain import order_payouts, order_refunds
from domain.aggregate import Event
from domain.money import Money
from domain.order import Item, Order, Settlement
from domain.order_refunds import RefundMade
from domain.payouts import Terms
from projections.buyer_orders import BUYER_ORDERS
from projections.ledger import ACCOUNTS
from projections.rebuild import rebuild
from tests.audit.conftest import Stagedoor, stagedoor
from tests.domain.scenes import BUYER, DEADLINE, INTENT, NOON, SELLER, at, charge
from tests.ledger.lives import many
from tests.ledger.stored import ask, do, stored_lines
from tests.projections.stories import append

__all__ = ["stagedoor"]  # the fixture


def booked(database_url: str, events: list[Event]) -> None:
    async def build() -> None:
        async with make_pool(database_url, max_size=3) as pool:
            await rebuild(pool, EventLog(pool), [BUYER_ORDERS])

    append(database_url, events)
    asyncio.run(build())


@pytest.fixture
def order(database_url: str) -> UUID:
    """Two units for 50.00 EUR, the house's fee 10 %; one given back; the seller paid for the other."""
    items = (Item(UUID(int=77), SELLER, "Semi-final", 2, Money(2_500, "EUR")),)
    given = Order.place(UUID(int=99), BUYER, items, DEADLINE, at())
    given.await_payment(INTENT, at())
    settlement = Settlement("txn_1", Money(175, "EUR"), Money(4_825, "EUR"))
    money = replace(charge(given), settlement=settlement)
    given.take_charge(money, at(), terms=Terms(1_000, "at_once"), payout_at=NOON, refund_reason=None)
    order_refunds.refund(given, {given.items[0].ticket_id: 1}, "seller", at())
    order_refunds.note_refund(given, RefundMade("re_1", "ch_1", Money(2_500, "EUR"), 1), at())
    order_payouts.release(given, {SELLER: "acct_1"}, at())
    order_payouts.note_transfer(given, 1, "tr_1", at())
    booked(database_url, list(given.collect_events()))
    return given.id


def cells(line: str) -> list[str]:
    return line.split()


def test_the_trial_balance_of_a_sale_with_a_refund(order: UUID, stagedoor: Stagedoor) -> None:
    said = stagedoor("ledger")
    assert (said.code, said.err) == (0, "")
    assert [cells(line) for line in said.out.splitlines()[:7]] == [
        ["currency", "account", "debit", "credit", "balance"],
        ["EUR", "stripe", "50.00", "49.25", "0.75"],
        ["EUR", "buyers", "75.00", "75.00", "0.00"],
        ["EUR", "sellers", "45.00", "45.00", "0.00"],
        ["EUR", "house", "2.50", "5.00", "-2.50"],
        ["EUR", "stripe_fees", "1.75", "0.00", "1.75"],
        ["EUR", "total", "174.25", "174.25", "0.00"],
    ]
    assert said.out.splitlines()[-1].startswith("The ledger has come to position ")


def test_currencies_are_never_added(database_url: str, stagedoor: Stagedoor) -> None:
    booked(database_url, many(3, lives=40))
    said = stagedoor("ledger")
    assert said.code == 0
    rows = [cells(line) for line in said.out.splitlines()[1:] if line and not line.startswith("The")]
    totals = {row[0]: row for row in rows if row[1] == "total"}
    assert {"EUR", "JPY", "USD"} <= totals.keys()
    assert all(float(row[4]) == 0 and row[2] == row[3] != "0" for row in totals.values())
    assert {row[1] for row in rows} == {*ACCOUNTS, "total"}


def test_the_balance_as_of_a_position_and_of_a_time(order: UUID, database_url: str, stagedoor: Stagedoor) -> None:
    sale = ask(database_url, "SELECT max(position) FROM ledger WHERE type = 'OrderCompleted'")[0][0]
    said = stagedoor("ledger", "--as-of", sale)
    assert ["EUR", "sellers", "0.00", "45.00", "-45.00"] in [cells(line) for line in said.out.splitlines()]
    assert "No line." in stagedoor("ledger", "--as-of", 0).out
    day = f"{NOON:%Y-%m-%d}"
    assert stagedoor("ledger", "--from", day, "--to", day).out == stagedoor("ledger").out
    assert "No line." in stagedoor("ledger", "--to", f"{day}T12:00:00Z").out
    assert "No line." in stagedoor("ledger", "--from", "2026-06-12").out


def test_an_orders_story(order: UUID, stagedoor: Stagedoor) -> None:
    said = stagedoor("ledger", "--order", order)
    assert said.code == 0
    lines = said.out.splitlines()
    events = [cells(line)[2] for line in lines if line.startswith("2026")]
    assert events == [
        "ChargeCreated",
        "OrderCompleted",
        "ChargeSettled",
        "OrderRefunded",
        "RefundCreated",
        "TransferCreated",
    ]
    assert len(lines) == 1 + 2 + 3 + 2 + 3 + 2 + 2 + 2
    assert cells(lines[4])[:5] == ["sellers", "45.00", "EUR", "+2", "seller"]


def test_a_sellers_account(order: UUID, stagedoor: Stagedoor) -> None:
    said = stagedoor("ledger", "--seller", SELLER)
    assert said.code == 0
    lines = [cells(line)[1:6] for line in said.out.splitlines()[1:4]]
    assert lines == [
        ["OrderCompleted", "45.00", "45.00", "EUR", "+2"],
        ["OrderRefunded", "-22.50", "22.50", "EUR", "-1"],
        ["TransferCreated", "-22.50", "0.00", "EUR", str(order)],
    ]


def test_every_line_as_csv(order: UUID, database_url: str, stagedoor: Stagedoor, tmp_path: Path) -> None:
    piped = stagedoor("ledger", "--csv", "-")
    assert piped.code == 0
    file = tmp_path / "books.csv"
    written = stagedoor("ledger", "--csv", file)
    assert (written.code, written.out) == (0, "")
    assert "lines" in written.err
    assert file.read_text() == piped.out
    assert not list(tmp_path.glob("*.part"))
    rows = list(csv.DictReader(piped.out.splitlines()))
    assert len(rows) == len(stored_lines(database_url)) == 14
    assert rows[3] == {
        "order_id": str(order),
        "sequence": "4",
        "line": "2",
        "position": rows[3]["position"],
        "at": "2026-06-11T12:00:00.000000Z",
        "type": "OrderCompleted",
        "account": "sellers",
        "party": str(SELLER),
        "ticket_id": rows[3]["ticket_id"],
        "quantity": "2",
        "amount": "-4500",
        "decimal": "-45.00",
        "currency": "EUR",
        "reference": "ch_1",
        "number": "",
    }


def test_a_file_that_cannot_be_written_is_one_line(order: UUID, stagedoor: Stagedoor, tmp_path: Path) -> None:
    said = stagedoor("ledger", "--csv", tmp_path / "no" / "books.csv")
    assert said.code == 2
    assert "cannot be written: No such file or directory" in said.one_line()


def test_books_that_do_not_balance_are_found(order: UUID, database_url: str, stagedoor: Stagedoor) -> None:
    do(database_url, "UPDATE ledger SET amount = amount + 5 WHERE account = 'house' AND type = 'OrderRefunded'")
    for arguments in ((), ("--order", order)):
        said = stagedoor("ledger", *arguments)
        assert said.code == 1
        assert said.err.splitlines()[-1].endswith(f"of order {order} does not come to zero: 0.05 EUR")


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("--order", "x"), 2, "not a valid UUID"),
        (("--order", UUID(int=9)), 1, "there is no order"),
        (("--order", UUID(int=9), "--seller", "x"), 2, "exclude each other"),
        (("--seller", "x"), 2, "neither an id nor an address"),
        (("--seller", "nobody@example.org"), 1, "no account with the address"),
        (("--from", "yesterday"), 2, "no time of RFC 3339"),
        (("--from", "2026-11-20", "--to", "2026-11-19"), 2, "lies behind"),
        (("--as-of", "-1"), 2, "-1"),
    ],
)
def test_wrong_input_is_one_line(arguments: tuple[object, ...], code: int, why: str, stagedoor: Stagedoor) -> None:
    said = stagedoor("ledger", *arguments)
    assert said.code == code
    assert why in said.one_line()


def test_a_replay_says_which_orders_lines_differ(order: UUID, database_url: str) -> None:
    def replayed(*arguments: str) -> Result:
        return CliRunner().invoke(replay, ["buyer_orders", *arguments], env={"DATABASE_URL": database_url})

    do(database_url, "UPDATE ledger SET currency = 'USD' WHERE type = 'ChargeCreated' AND line = 1")
    dry = replayed("--dry-run")
    assert dry.exit_code == 1
    assert "buyer_orders: 1 rows equal, 0 different, 0 new, 0 gone\n" in dry.output
    assert "ledger: 13 lines equal, 1 different, 0 new, 0 gone\n" in dry.output
    assert f"  {order}: 1 different, 0 new, 0 gone\n" in dry.output
    assert replayed().exit_code == 0
    assert "ledger: 14 lines equal, 0 different, 0 new, 0 gone\n" in replayed("--dry-run").output

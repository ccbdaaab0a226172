"""The demo's pure parts: latencies, plans, the check, and the sellers it remembers."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.contract import Money, Order, OrderItem
from cli.demonstration.audit import Evidence, OrderBook, differences
from cli.demonstration.catalogue import LAST_TICKETS, Catalogue, Listing, Shelf
from cli.demonstration.latency import Histogram
from cli.demonstration.plan import ENDINGS, Outcome, Planner, Visit
from cli.demonstration.seller import FILE_NAME, Credentials, SellerBook
from cli.demonstration.tally import Tally

FINAL = Listing("final", "The final", "Final", 100, Shelf(100, 90, 0, 10))
LAST = Listing("last", "Last tickets", LAST_TICKETS, 4, Shelf(4, 4, 0, 0))
SHOP = Catalogue((FINAL,), LAST, 1)


def order(status: str, ticket_id: str, quantity: int) -> Order:
    items = [OrderItem(ticket_id, quantity, Money(50, "USD"))]
    return Order("1", status, items, Money(50 * quantity, "USD"), datetime.now(UTC))


def good_run() -> tuple[Tally, Evidence]:
    """Three tickets of the final and the four last ones are sold, one order is cancelled, one expires."""
    orders = [order("completed", "final", 3), order("completed", "last", 4)]
    tally = Tally(ordered=4, cancelled=1)
    book = OrderBook()
    for each in (*orders, order("cancelled", "final", 8), order("expired", "final", 2)):
        book.add(each)
    for each in orders:
        tally.paid.add(each)
    return tally, Evidence(book, {"final": Shelf(100, 87, 0, 13), "last": Shelf(4, 0, 0, 4)}, all_due=True)


def test_a_good_run_has_no_differences() -> None:
    assert differences(SHOP, *good_run()) == []


@pytest.mark.parametrize(
    ("shelf", "line"),
    [
        (Shelf(100, 88, 0, 13), "The final: sold 13 + held 0 + available 88 = 101, quantity 100, capacity 100"),
        (Shelf(101, 88, 0, 13), "The final: sold 13 + held 0 + available 88 = 101, quantity 101, capacity 100"),
        (Shelf(100, 88, -1, 13), "The final: sold 13 + held -1 + available 88: less than none"),
        (Shelf(100, 86, 0, 14), "The final: the listing sold 4 in this run, its buyers' completed orders hold 3"),
        (Shelf(100, 88, 0, 12), "The final: the listing sold 2 in this run, its buyers' completed orders hold 3"),
    ],
)
def test_a_listing_that_does_not_add_up(shelf: Shelf, line: str) -> None:
    tally, evidence = good_run()
    evidence = replace(evidence, shelves={**evidence.shelves, "final": shelf})
    assert differences(SHOP, tally, evidence) == [line]


def test_a_listing_that_is_gone() -> None:
    tally, evidence = good_run()
    evidence = replace(evidence, shelves={"final": evidence.shelves["final"]})
    assert differences(SHOP, tally, evidence) == ["Last tickets: the seller's list does not have it"]


def test_an_answered_payment_that_is_lost() -> None:
    tally, evidence = good_run()
    tally.paid.add(order("completed", "final", 2))
    assert differences(SHOP, tally, evidence) == [
        "The final: tickets paid for: 5 by the answers, 3 in the buyers' lists",
        "orders paid: 3 by the answers, 2 in the buyers' lists",
        "money taken: 450 by the answers, 350 in the buyers' lists",
    ]


def test_a_payment_without_an_answer_may_have_happened_or_not() -> None:
    tally, evidence = good_run()
    tally.maybe_paid.add(order("created", "final", 2))
    assert differences(SHOP, tally, evidence) == []
    evidence.orders.add(order("completed", "final", 2))
    tally.ordered += 1
    shelves = {**evidence.shelves, "final": Shelf(100, 85, 0, 15)}
    assert differences(SHOP, tally, replace(evidence, shelves=shelves)) == []


def test_an_order_nobody_made() -> None:
    tally, evidence = good_run()
    evidence.orders.add(order("expired", "final", 1))
    assert differences(SHOP, tally, evidence) == ["orders made: 4 by the answers, 5 in the buyers' lists"]
    tally.maybe_ordered = 1
    assert differences(SHOP, tally, evidence) == []


def test_an_order_that_does_not_expire() -> None:
    tally, evidence = good_run()
    tally.ordered += 1
    evidence.orders.add(order("awaiting_payment", "final", 1))
    assert differences(SHOP, tally, evidence) == ["1 orders are still open although their holds have ended"]
    assert differences(SHOP, tally, replace(evidence, all_due=False)) == []


def test_a_cancellation_that_did_not_stay() -> None:
    tally, evidence = good_run()
    tally.cancelled += 1
    assert differences(SHOP, tally, evidence) == ["orders cancelled: 2 by the answers, 1 in the buyers' lists"]


def test_quantiles_are_at_most_two_percent_above_the_true_ones() -> None:
    histogram = Histogram()
    for milliseconds in range(1, 1001):
        histogram.add(milliseconds / 1000)
    for share, true_ms in ((0.5, 500), (0.95, 950), (0.99, 990), (1.0, 1000)):
        found = histogram.quantile_ms(share)
        assert found is not None
        assert true_ms * 0.999 <= found <= true_ms * 1.021


def test_quantiles_of_nothing_and_of_extremes() -> None:
    histogram = Histogram()
    assert histogram.quantile_ms(0.5) is None
    histogram.add(-1.0)
    histogram.add(1e9)
    assert histogram.count == 2
    assert histogram.quantile_ms(1.0) == pytest.approx(3_600_000, rel=0.02)


def drawn(count: int) -> list[Visit]:
    planner = Planner(SHOP, random.Random(7))
    return [planner.next(8) for _ in range(count)]


def test_plans_keep_their_shares() -> None:
    assert sum(ENDINGS.values()) == 100
    visits = drawn(5000)
    buying = [visit for visit in visits if visit.wishes]
    assert len(buying) / len(visits) == pytest.approx(0.8, abs=0.03)
    outcomes = Counter(visit.ending.outcome for visit in buying)
    assert outcomes[Outcome.PAY] / len(buying) == pytest.approx(0.7, abs=0.03)
    declined = sum(visit.ending.declined_first for visit in buying)
    assert declined / len(buying) == pytest.approx(0.18, abs=0.03)


def test_an_order_has_one_to_eight_tickets_and_no_listing_twice() -> None:
    for visit in drawn(5000):
        if visit.wishes:
            assert 1 <= sum(wish.quantity for wish in visit.wishes) <= 8
            assert len({wish.listing.id for wish in visit.wishes}) == len(visit.wishes)
            assert all(wish.quantity >= 1 for wish in visit.wishes)


def test_the_seller_is_remembered_for_its_owner_alone(tmp_path: Path) -> None:
    with SellerBook.open(tmp_path) as book:
        assert book.find("http://one") is None
        book.keep("http://one", Credentials("a@example.org", "longer than the next"))
        book.keep("http://two", Credentials("b@example.org", "secret"))
        book.keep("http://one", Credentials("c@example.org", "short"))
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    with SellerBook.open(tmp_path) as book:
        assert book.find("http://one") == Credentials("c@example.org", "short")
        assert book.find("http://two") == Credentials("b@example.org", "secret")


def test_a_second_run_at_the_same_time_has_a_seller_of_its_own(tmp_path: Path) -> None:
    with SellerBook.open(tmp_path) as first:
        first.keep("http://one", Credentials("a@example.org", "secret"))
        with SellerBook.open(tmp_path) as second:
            assert second.find("http://one") is None
            second.keep("http://one", Credentials("b@example.org", "secret"))
    with SellerBook.open(tmp_path) as book:
        assert book.find("http://one") == Credentials("a@example.org", "secret")


@pytest.mark.parametrize("content", ["", '{"http://one": {"email', '["x"]'])
def test_a_book_that_was_cut_off_is_begun_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with SellerBook.open(tmp_path) as book:
        assert book.find("http://one") is None
        book.keep("http://one", Credentials("a@example.org", "secret"))
        assert book.find("http://one") is not None


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with SellerBook.open(tmp_path / "file") as book:
        book.keep("http://one", Credentials("a@example.org", "secret"))
        assert book.find("http://one") is None

"""What an event means in double entry: whatever happens to an order, the books balance and say what the order says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import order_payouts, order_refunds
from domain.money import Money
from domain.order import Order, Settlement
from domain.order_disputes import DisputeWord, note_dispute
from domain.order_refunds import RefundMade
from domain.payouts import Dispute, Terms
from domain.published import PublishedEvent, publish
from domain.published_money import OrderCompleted
from projections.ledger import ACCOUNTS, BUYERS, DISPUTES, SELLERS, STRIPE, STRIPE_FEES, Posting, postings
from tests.domain.scenes import NOON, SELLER, at, awaiting, charge
from tests.ledger.lives import Life, published


def balances(found: Iterable[Posting], account: str) -> Counter[str]:
    """By currency."""
    sums: Counter[str] = Counter()
    for posting in found:
        if posting.account == account:
            sums[posting.currency] += posting.amount
    return sums


def same(found: Counter[str], expected: Counter[str]) -> bool:
    """Whatever is 0 is as good as not there."""
    return all(found[currency] == expected[currency] for currency in found.keys() | expected.keys())


class Books:
    """The postings of one life so far."""

    def __init__(self) -> None:
        self.lines: list[Posting] = []
        self.events = 0

    def take(self, events: list[PublishedEvent]) -> None:
        for event in events[self.events :]:
            lines = postings(event)
            for currency in {line.currency for line in lines}:
                assert sum(line.amount for line in lines if line.currency == currency) == 0, event
            assert all(line.account in ACCOUNTS and (line.amount or line.quantity) for line in lines)
            assert all((line.party is not None) >= (line.account == SELLERS) for line in lines)
            self.lines += lines
        self.events = len(events)

    def check(self, life: Life) -> None:
        """What holds after every command."""
        order, currency = life.order, life.order.total.currency
        assert same(balances(self.lines, STRIPE), life.stripe)
        assert same(balances(self.lines, STRIPE_FEES), life.fees)
        assert same(balances(self.lines, DISPUTES), life.held)
        to_go_back = sum(refund.money.amount for refund in order.refunds if refund.refund_id is None)
        assert -balances(self.lines, BUYERS)[currency] == to_go_back
        under_way: Counter[UUID] = Counter()
        for move in order.due_moves():
            if not hasattr(move, "reason"):
                sign = 1 if hasattr(move, "account_id") else -1
                under_way[move.seller_id] += sign * move.money.amount  # type: ignore[union-attr]
        for seller_id, amount in order_payouts.owed(order.shares, order.transfers).items():
            assert self.owed(seller_id) == amount + under_way[seller_id]
        units = Counter({item.ticket_id: item.kept for item in order.items}) if order.shares else Counter[UUID]()
        if order.total.amount:
            sold: Counter[UUID] = Counter()
            for line in self.lines:
                if line.ticket_id is not None:
                    sold[line.ticket_id] += line.quantity or 0
            assert +sold == +units

    def owed(self, seller_id: UUID) -> int:
        return -sum(line.amount for line in self.lines if (line.account, line.party) == (SELLERS, seller_id))


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_the_books_balance_after_every_command_of_any_life(seed: int, steps: int) -> None:
    life, books, events = Life(Random(seed)), Books(), []

    def look() -> None:
        events.extend(life.order.collect_events())
        books.take(published(events))
        books.check(life)

    look()
    for happening in life.random.choices(life.happenings, k=steps):
        life.happens(happening)
        look()
    life.settle()
    look()
    order = life.order
    failed = sum(refund.money.amount for refund in order.refunds if refund.status == "failed")
    assert -balances(books.lines, BUYERS)[order.total.currency] == failed
    for seller_id, amount in order_payouts.owed(order.shares, order.transfers).items():
        assert books.owed(seller_id) == amount


def test_the_lives_go_through_everything_that_is_booked() -> None:
    seen: Counter[str] = Counter()
    for seed in range(300):
        life = Life(Random(seed)).tell(40)
        seen.update(event.type for event in published(life.order.collect_events()) if postings(event))
    booked = {"ChargeCreated", "ChargeSettled", "OrderCompleted", "OrderRefunded", "RefundCreated", "RefundFailed"}
    moved = {"TransferCreated", "TransferReversed"}
    disputed = {"DisputeFundsWithdrawn", "DisputeFundsReinstated", "DisputeClosed"}
    assert seen.keys() == booked | moved | disputed
    assert min(seen.values()) >= 20, seen


def told(order: Order) -> list[list[tuple[str, int]]]:
    """By event that means something, account and amount."""
    found = [postings(publish(event, event.originator_version)) for event in order.collect_events()]
    return [[(line.account, line.amount) for line in lines] for lines in found if lines]


def paid(amount: int = 2_500) -> Order:
    """Given two units paid under a fee of 10 %, with Stripe's fee known."""
    given = awaiting(quantity=2, amount=amount)
    settlement = Settlement("txn_1", Money(175, "EUR"), Money(2 * amount - 175, "EUR"))
    money = replace(charge(given), settlement=settlement)
    given.take_charge(money, at(), terms=Terms(1_000, "at_once"), payout_at=NOON, refund_reason=None)
    return given


def test_a_sale() -> None:
    assert told(paid()) == [
        [("stripe", 5_000), ("buyers", -5_000)],
        [("buyers", 5_000), ("sellers", -4_500), ("house", -500)],
        [("stripe_fees", 175), ("stripe", -175)],
    ]


def test_who_and_what_a_line_is_about() -> None:
    given = paid()
    completed = next(event for event in given.collect_events() if isinstance(event, Order.Completed))
    buyers, sellers, house = postings(publish(completed, 9))
    ticket_id = given.items[0].ticket_id
    assert (buyers.party, buyers.ticket_id, buyers.quantity, buyers.reference) == (None, None, None, "ch_1")
    assert (sellers.party, sellers.ticket_id, sellers.quantity, sellers.reference) == (SELLER, ticket_id, 2, "ch_1")
    assert (house.party, house.ticket_id, house.quantity) == (SELLER, ticket_id, None)


def test_a_ticket_given_back_after_its_seller_was_paid() -> None:
    given = paid()
    order_payouts.release(given, {SELLER: "acct_1"}, at())
    order_payouts.note_transfer(given, 1, "tr_1", at())
    given.collect_events()
    order_refunds.refund(given, {given.items[0].ticket_id: 1}, "seller", at())
    order_refunds.note_refund(given, RefundMade("re_1", "ch_1", Money(2_500, "EUR"), 1), at())
    order_refunds.note_refund_failure(given, "re_1", at())
    order_payouts.note_reversal(given, 1, "trr_1", at())
    assert told(given) == [
        [("sellers", 2_250), ("house", 250), ("buyers", -2_500)],
        [("buyers", 2_500), ("stripe", -2_500)],
        [("stripe", 2_500), ("buyers", -2_500)],
        [("stripe", 2_250), ("sellers", -2_250)],
    ]


def test_a_lost_dispute_after_a_refund_was_decided_that_the_bank_now_carries() -> None:
    given = paid()
    order_refunds.refund(given, {given.items[0].ticket_id: 1}, "seller", at())
    given.collect_events()
    asked = Dispute("dp_1", "ch_1", Money(5_000, "EUR"), "fraudulent", "needs_response")
    note_dispute(given, DisputeWord(asked, Money(1_500, "EUR")), at())
    note_dispute(given, DisputeWord(replace(asked, status="lost"), Money(1_500, "EUR")), at())
    assert told(given) == [
        [("disputes", 5_000), ("stripe", -5_000), ("stripe_fees", 1_500), ("stripe", -1_500)],
        [("sellers", 2_250), ("house", 250), ("buyers", 2_500), ("disputes", -5_000)],
    ]


def test_a_dispute_that_is_won_costs_its_fee() -> None:
    given = paid()
    given.collect_events()
    asked = Dispute("dp_1", "ch_1", Money(5_000, "EUR"), "fraudulent", "needs_response")
    note_dispute(given, DisputeWord(asked, Money(1_500, "EUR")), at())
    note_dispute(given, DisputeWord(replace(asked, status="won"), Money(1_500, "EUR"), reinstated=True), at())
    assert told(given)[1:] == [[("stripe", 5_000), ("disputes", -5_000)]]


def test_money_given_back_at_stripe_is_the_houses_gift() -> None:
    given = paid()
    given.collect_events()
    order_refunds.note_refund(given, RefundMade("re_1", "ch_1", Money(100, "EUR"), None), at())
    assert told(given) == [[("house", 100), ("buyers", -100)], [("buyers", 100), ("stripe", -100)]]


def test_all_that_was_left_given_back_at_stripe_takes_what_the_seller_had_kept_of_a_unit() -> None:
    """One unit was given back for its price less 1,000; at Stripe the rest of the charge goes back, over its price."""
    given = paid()
    given.items = tuple(replace(item, refund_fee=1_000) for item in given.items)
    order_refunds.refund(given, {given.items[0].ticket_id: 1}, "buyer", at())
    order_refunds.note_refund(given, RefundMade("re_1", "ch_1", Money(1_500, "EUR"), 1), at())
    given.collect_events()
    order_refunds.note_refund(given, RefundMade("re_2", "ch_1", Money(3_500, "EUR"), None), at())
    assert told(given) == [
        [("sellers", 3_150), ("house", 350), ("buyers", -3_500)],
        [("buyers", 3_500), ("stripe", -3_500)],
    ]
    assert (given.status, given.money_left, [refund.money.amount for refund in given.refunds]) == (
        "refunded",
        0,
        [1_500, 3_500],
    )


def test_units_may_be_given_back_for_nothing() -> None:
    """The buyer's fee is the price: units return, no money does, and the books count the units."""
    given = paid()
    given.items = tuple(replace(item, refund_fee=item.price.amount) for item in given.items)
    given.collect_events()
    order_refunds.refund(given, {given.items[0].ticket_id: 2}, "buyer", at())
    (line,) = postings(publish(given.collect_events()[0], 9))  # type: ignore[arg-type]
    assert (line.account, line.amount, line.quantity, line.number) == ("sellers", 0, -2, None)


def test_what_cost_nothing_is_not_in_the_books() -> None:
    life = Life(Random(0))
    item = replace(life.order.items[0], price=Money(0, "EUR"), refund_fee=0)
    free = Order.place(UUID(int=9), UUID(int=2), (item,), NOON, at())
    order_refunds.refund(free, {item.ticket_id: item.quantity}, "seller", at())
    assert told(free) == []


def test_an_order_completed_by_an_earlier_version_is_not_divided() -> None:
    given = paid()
    completed = next(event for event in given.collect_events() if isinstance(event, Order.Completed))
    event = publish(completed, 9)
    assert isinstance(event.data, OrderCompleted)
    old = event._replace(data=OrderCompleted("ch_1", None, 0, (), None))
    assert postings(event)
    assert postings(old) == ()

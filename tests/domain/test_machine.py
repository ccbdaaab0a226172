"""Any sequence of commands, at any clock: the invariants of listings and money hold after each.

The commands run through the marketplace itself on an event store in memory, so that the machine tries the rules that
span aggregates too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from domain.aggregate import Aggregate, Event
from domain.errors import DomainError
from domain.marketplace import Ask, Marketplace, Wanted
from domain.money import Money
from domain.order import INTENT_CANCELED, Charge, ChargeFailure, Order
from domain.order_disputes import DisputeClosed, DisputeWord
from domain.order_refunds import Refunded, RefundMade
from domain.payouts import Dispute, Refund, Reversal, Terms, Transfer
from domain.ticket import Ticket
from domain.user import PayoutAccount, User
from domain.work import Batch, Cache, NotFetched, Work
from tests.domain.scenes import BUYER, NOON, OTHER, SELLER, at, listing

HOLD_SECONDS = 900
MAX_HELD = 2
FEE_BPS = 730


class MemoryTransaction:
    """`domain.ports.Transaction` without a database: the log is a list."""

    def __init__(self, log: list[Event]) -> None:
        self.log = log
        self.now = NOON

    def load(self, ids: Any) -> dict[UUID, Aggregate]:
        loaded: dict[UUID, Aggregate] = {}
        for event in self.log:
            if event.originator_id in ids:
                loaded[event.originator_id] = event.mutate(loaded.get(event.originator_id))
        return loaded


class Straight:
    """Stands where the actors stand: decides each command at once, alone, and logs what it decided."""

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.cache = Cache(1_000)
        self.now = NOON

    def put(self, aggregate: Aggregate) -> None:
        self.log += aggregate.collect_events()
        self.cache.put(aggregate)

    def tell(self, addressees: Any, decide: Callable[[Work], Any], cause: Any, once: Any = None) -> Any:
        batch = Batch(MemoryTransaction(self.log), self.cache)  # type: ignore[arg-type]
        while True:
            work = Work(batch, at(self.now))
            try:
                answer = decide(work)
                break
            except NotFetched as missing:
                assert work.is_clean(), "a command finds what it needs before it changes anything"
                ids = [missing.aggregate_id]
                batch.take(ids, batch.transaction.load(ids))  # type: ignore[arg-type]
            except DomainError:
                assert work.is_clean(), "a refused command must have changed nothing"
                return None
        work.conclude()
        self.log += batch.events
        return answer


class MarketMachine(RuleBasedStateMachine):
    """Sellers, buyers, Stripe and the clock, each doing what they like."""

    tickets: Bundle[UUID] = Bundle("tickets")
    orders: Bundle[UUID] = Bundle("orders")

    @initialize(target=tickets)
    def open(self) -> Any:
        """Few listings of few units, so that buyers meet."""
        self.straight = Straight()
        self.latest = self.straight.now
        """The clock before it was ever set back: a deadline that has passed stays passed for whoever has seen it."""
        terms = Terms(FEE_BPS, "at_once")
        self.market = Marketplace(self.straight, HOLD_SECONDS, MAX_HELD, terms)  # type: ignore[arg-type]
        self.paid: dict[UUID, Charge] = {}
        self.refunds: set[str] = set()
        self.gone: Counter[UUID] = Counter()
        """Of each order's charge, what Stripe has sent back or a bank has taken."""
        self.straight.put(_seller())
        return multiple(*(self.offer(quantity, amount) for quantity, amount in ((1, 2500), (3, 1000), (3, 0))))

    def ask(self) -> Ask[Any, Any]:
        return Ask(at(self.straight.now).cause, lambda aggregate: aggregate)

    def find(self, kind: Any, aggregate_id: UUID) -> Any:
        found = self.straight.cache.find(aggregate_id)
        assert isinstance(found, kind)
        return found

    def offer(self, quantity: int, amount: int) -> UUID:
        ticket_id = uuid4()
        self.market.offer(ticket_id, SELLER, listing(quantity=quantity, amount=amount), self.ask())
        return ticket_id

    @rule(
        target=orders,
        wanted=st.lists(st.tuples(tickets, st.integers(1, 2)), min_size=1, max_size=2, unique_by=lambda want: want[0]),
        buyer=st.sampled_from([BUYER, OTHER]),
        pays=st.booleans(),
    )
    def order(self, wanted: list[tuple[UUID, int]], buyer: UUID, pays: bool) -> Any:
        order_id = uuid4()
        wants = [Wanted(ticket_id, quantity) for ticket_id, quantity in wanted]
        made: Any = self.market.place_order(order_id, buyer, wants, self.ask())
        if made is None:
            return multiple()
        if pays:
            # The order waits for the one intent it will ever have.
            self.market.await_payment(order_id, f"pi_{order_id}", self.ask())
        return order_id

    @rule(seconds=st.sampled_from([-300, 1, 899, 900, 901, 5_000]))
    def the_clock_moves(self, seconds: int) -> None:
        self.straight.now += timedelta(seconds=seconds)
        self.latest = max(self.latest, self.straight.now)

    @rule(order_id=orders, again=st.booleans())
    def money_comes(self, order_id: UUID, again: bool) -> None:
        """Stripe took the money of an intent it knows, once; the word of it may come more than once."""
        order = self.find(Order, order_id)
        if order.payment_intent_id is None or not (order.intent_open or order_id in self.paid):
            return
        charge = self.paid.setdefault(order_id, Charge(order.payment_intent_id, f"ch_{order_id}", order.total))
        for _ in range(2 if again else 1):
            self.market.take_charge(order_id, charge, self.ask())

    @rule(order_id=orders, code=st.sampled_from(["card_declined", INTENT_CANCELED]))
    def money_is_refused(self, order_id: UUID, code: str) -> None:
        if self.find(Order, order_id).payment_intent_id and order_id not in self.paid:
            failure = ChargeFailure(f"pi_{order_id}", code, None, f"ch_no_{uuid4()}")
            self.market.note_failure(order_id, failure, self.ask())

    @rule(order_id=orders)
    def cancel(self, order_id: UUID) -> None:
        self.market.cancel_order(order_id, self.find(Order, order_id).buyer_id, self.ask())

    @rule(order_id=orders)
    def expire(self, order_id: UUID) -> None:
        self.market.expire_order(order_id, self.ask())

    @rule(
        order_id=orders,
        by=st.sampled_from(["buyer", "seller", "house"]),
        quantity=st.sampled_from([None, 1, 2]),
        resell=st.sampled_from([None, True, False]),
    )
    def refund(self, order_id: UUID, by: str, quantity: int | None, resell: bool | None) -> None:
        order = self.find(Order, order_id)
        person = {"buyer": order.buyer_id, "seller": SELLER, "house": uuid4()}[by]
        wanted = None if quantity is None else [Wanted(order.items[0].ticket_id, quantity)]
        self.market.refund_order(order_id, person, wanted, self.ask(), admin=by == "house", resell=resell)

    @rule(order_id=orders, fails=st.booleans(), again=st.booleans())
    def money_moves(self, order_id: UUID, fails: bool, again: bool) -> None:
        """Stripe moves what is due, as far as it has the money; a refund may come back from the card's bank."""
        for move in self.find(Order, order_id).due_moves():
            for _ in range(2 if again else 1):
                match move:
                    case Refund(number, charge_id, money, tries=tries):
                        refund_id = f"re_{order_id}_{number}_{tries}"
                        if not self._stripe_has(order_id, money.amount, refund_id):
                            continue
                        made = RefundMade(refund_id, charge_id, money, number, tries)
                        self.market.note_refund(order_id, made, self.ask())
                        if fails:
                            self.market.note_refund_failure(order_id, refund_id, self.ask())
                            self.gone[order_id] -= money.amount if refund_id in self.refunds else 0
                            self.refunds.discard(refund_id)
                    case Transfer(number):
                        self.market.note_transfer(order_id, number, f"tr_{order_id}_{number}", self.ask())
                    case Reversal(number):
                        self.market.note_reversal(order_id, number, f"trr_{order_id}_{number}", self.ask())

    @rule(order_id=orders, amount=st.sampled_from([1, 500, None]))
    def somebody_refunds_at_stripe(self, order_id: UUID, amount: int | None) -> None:
        if (charge := self.paid.get(order_id)) is not None and self.find(Order, order_id).knows_charge(
            charge.charge_id
        ):
            amount = amount or charge.money.amount - self.gone[order_id]
            refund_id = f"re_{uuid4()}"
            if amount and self._stripe_has(order_id, amount, refund_id):
                made = RefundMade(refund_id, charge.charge_id, Money(amount, charge.money.currency), None)
                self.market.note_refund(order_id, made, self.ask())

    @rule(order_id=orders, item=st.integers(0, 1), number=st.integers(0, 3), by=st.sampled_from([SELLER, BUYER]))
    def somebody_comes_to_the_door(self, order_id: UUID, item: int, number: int, by: UUID) -> None:
        order = self.find(Order, order_id)
        ticket_id = order.items[item % len(order.items)].ticket_id
        before = len(order.check_ins)
        let_in: Any = self.market.check_in(order_id, ticket_id, number, by, self.ask())
        assert (let_in is not None) == (len(self.find(Order, order_id).check_ins) > before)
        assert let_in is None or (by == SELLER and order.status == "completed")

    @rule(order_id=orders)
    def payouts_fall_due(self, order_id: UUID) -> None:
        self.market.release_payouts(order_id, self.ask())

    @rule(order_id=orders, status=st.sampled_from(["needs_response", "won", "lost"]))
    def a_bank_asks_money_back(self, order_id: UUID, status: str) -> None:
        """All that is left of the charge; the word of the end may come first."""
        charge = self.paid.get(order_id)
        if charge is None or not self.find(Order, order_id).knows_charge(charge.charge_id):
            return
        disputes = self.find(Order, order_id).disputes
        if disputes and not disputes[0].is_open:
            return
        money = disputes[0].money if disputes else Money(charge.money.amount - self.gone[order_id], "EUR")
        if not disputes:
            self.gone[order_id] += money.amount
        if status == "won":
            self.gone[order_id] -= money.amount
        told = Dispute(f"dp_{order_id}", charge.charge_id, money, "fraudulent", status)
        word = DisputeWord(told, Money(1500, "EUR"), reinstated=status == "won")
        self.market.note_dispute(order_id, word, self.ask())

    def _stripe_has(self, order_id: UUID, amount: int, refund_id: str) -> bool:
        if refund_id not in self.refunds:
            charge = self.paid[order_id]
            if self.gone[order_id] + amount > charge.money.amount:
                return False
            self.refunds.add(refund_id)
            self.gone[order_id] += amount
        return True

    @rule(ticket_id=tickets, quantity=st.integers(1, 4), by=st.sampled_from([SELLER, BUYER]))
    def edit(self, ticket_id: UUID, quantity: int, by: UUID) -> None:
        before = self.find(Ticket, ticket_id).version
        locked = any(h.expires_at > self.latest for h in self.find(Ticket, ticket_id).holds.values())
        self.market.edit(ticket_id, by, lambda offer: replace(offer, quantity=quantity), None, self.ask())
        if locked or by != SELLER:
            assert self.find(Ticket, ticket_id).version == before

    @precondition(lambda self: self.straight.now > NOON + timedelta(hours=1))
    @rule(ticket_id=tickets)
    def withdraw(self, ticket_id: UUID) -> None:
        self.market.withdraw(ticket_id, SELLER, None, self.ask())

    @rule()
    def forget_everything_in_memory(self) -> None:
        ids = {event.originator_id for event in self.straight.log}
        replayed = MemoryTransaction(self.straight.log).load(ids)
        for aggregate_id, aggregate in replayed.items():
            live = self.straight.cache.find(aggregate_id)
            assert live is not None
            assert _state(live) == _state(aggregate), "live state = replay of the log"
            self.straight.cache.put(aggregate)

    @invariant()
    def units_add_up_and_sales_are_paid(self) -> None:
        if not hasattr(self, "straight"):
            return
        aggregates = MemoryTransaction(self.straight.log).load({event.originator_id for event in self.straight.log})
        orders = [aggregate for aggregate in aggregates.values() if isinstance(aggregate, Order)]
        for ticket in aggregates.values():
            if isinstance(ticket, Ticket):
                assert min(ticket.available, ticket.held, ticket.sold) >= 0
                assert ticket.held == sum(hold.quantity for hold in ticket.holds.values())
                assert ticket.sold == sum(
                    item.kept
                    for order in orders
                    if order.status == "completed"
                    for item in order.items
                    if item.ticket_id == ticket.id
                )
                open_orders = {order.id for order in orders if order.is_open}
                assert set(ticket.holds) <= open_orders
        for order in orders:
            self._money_is_somewhere(order)
            entered = [(known.ticket_id, known.number) for known in order.check_ins]
            assert len(entered) == len(set(entered)), "each ticket lets one person in"

    def _given_away(self, order: Order) -> int:
        """Refunds made at Stripe for which no ticket was taken."""
        return sum(
            event.from_house
            for event in self.straight.log
            if event.originator_id == order.id and isinstance(event, Refunded | DisputeClosed)
        )

    @invariant()
    def what_each_buyer_holds_is_counted(self) -> None:
        if not hasattr(self, "straight"):
            return
        for ticket_id in {event.originator_id for event in self.straight.log}:
            ticket = self.straight.cache.find(ticket_id)
            if isinstance(ticket, Ticket):
                held: Counter[UUID | None] = Counter()
                for order_id, hold in ticket.holds.items():
                    held[hold.buyer_id] += 0 if order_id in ticket.lapsed else hold.quantity
                assert ticket.held_by == +held

    def _money_is_somewhere(self, order: Order) -> None:
        paid = order.charge_id is not None
        bought = order.status in ("completed", "refunded")
        if order.total.amount:
            assert paid == (bought or bool(order.refunds))
        gross = sum(share.gross for share in order.shares)
        by_banks = {dispute.dispute_id for dispute in order.disputes}
        goes_back = sum(refund.money.amount for refund in order.refunds if refund.refund_id not in by_banks)
        lost = sum(dispute.money.amount for dispute in order.disputes if dispute.status == "lost")
        if bought:
            assert goes_back + lost <= order.total.amount + self._given_away(order), "never more than was paid"
            assert gross <= order.total.amount
            for item, share in zip(order.items, order.shares, strict=True):
                assert 0 <= share.fee <= share.gross
                assert share.gross >= 0
                if item.kept == item.quantity and not order.disputes:
                    assert share.gross == item.price.amount * item.quantity
        for transfer in order.transfers:
            assert 0 <= transfer.reversed <= transfer.money.amount
        on_the_way = sum(transfer.money.amount - transfer.reversed for transfer in order.transfers)
        made = all(transfer.transfer_id for transfer in order.transfers)
        assert not made or on_the_way <= sum(share.net for share in order.shares), (
            "what was too much is on its way back"
        )
        life = [type(event) for event in self.straight.log if event.originator_id == order.id]
        assert life.count(Order.Completed) + life.count(Order.Cancelled) <= 1, "one end, and it is final"


def _seller() -> User:
    seller = User.sign_up(SELLER, at())
    seller.open_account("acct_1", at())
    seller.note_account(PayoutAccount("acct_1", transfers_enabled=True), at())
    return seller


def _state(aggregate: Aggregate) -> dict[str, Any]:
    derived = {"deadlines", "lapsed", "lapsed_units", "seen_at", "held_by", "pending_events", "snapshot_version"}
    return {name: value for name, value in vars(aggregate).items() if name not in derived}


TestMarket = MarketMachine.TestCase
TestMarket.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)

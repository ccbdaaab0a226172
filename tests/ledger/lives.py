"""Lives of orders by the domain's own commands, whatever comes after what; and what has moved at Stripe meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import Random
from uuid import UUID

from domain import order_disputes, order_payouts, order_refunds
from domain.aggregate import Cause, Event, Stamp
from domain.charges import step_of
from domain.errors import DomainError
from domain.money import Money
from domain.order import COMPLETED, Charge, Item, Order, Settlement
from domain.order_disputes import DisputeWord
from domain.order_refunds import RefundMade
from domain.payouts import Dispute, Refund, Terms
from domain.published import PublishedEvent, publish
from tests.domain.scenes import BUYER, NOON

SELLERS = (UUID(int=1), UUID(int=5))
CURRENCIES = ("EUR", "JPY", "BHD", "MGA")


class Life:
    """One order to which things happen. The same randomness tells the same life."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.now = NOON
        self.stripe: Counter[str] = Counter()
        """By currency, what went into the house's balance at Stripe less what went out of it."""
        self.fees: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        """What banks hold of disputes that are not over."""
        self.terms = Terms(random.choice((0, 250, 1_000, 10_000)), "at_once")
        currency = random.choice(CURRENCIES)
        items = tuple(self._item(currency) for _ in range(random.choice((1, 1, 2, 3))))
        self.order = Order.place(self._id(), BUYER, items, NOON + timedelta(minutes=15), self._stamp())

    @property
    def happenings(self) -> tuple[Callable[[], None], ...]:
        return (
            self.is_paid,
            self.is_paid,
            self.is_paid_in_vain,
            self.is_cancelled,
            self.charge_settles,
            self.units_are_refunded,
            self.units_are_refunded,
            self.money_is_refunded_at_stripe,
            self.refund_is_made,
            self.refund_fails,
            self.payouts_are_released,
            self.transfer_is_made,
            self.reversal_is_made,
            self.bank_disputes,
            self.bank_speaks,
        )

    def tell(self, steps: int) -> Life:
        """So many things happen, or are refused."""
        for happening in self.random.choices(self.happenings, k=steps):
            self.happens(happening)
        return self

    def happens(self, happening: Callable[[], None]) -> None:
        with suppress(DomainError):  # a refused command has changed nothing
            happening()

    def settle(self) -> Life:
        """Everything that is due is done."""
        while any(dispute.is_open for dispute in self.order.disputes):
            self.bank_speaks()
        self.payouts_are_released()
        while self.order.due_moves():
            self.refund_is_made()
            self.transfer_is_made()
            self.reversal_is_made()
        return self

    # Things that happen -------------------------------------------------------------------------------------------

    def is_paid(self) -> None:
        if self.order.is_open and self.order.total.amount:
            self._await()
            self._charge(None)

    def is_paid_in_vain(self) -> None:
        if self.order.total.amount and len(self.order.charge_ids) < 2:
            if self.order.is_open:
                self._await()
            if self.order.payment_intent_id is not None:
                self._charge("paid_twice" if self.order.status == COMPLETED else "sold_out")

    def is_cancelled(self) -> None:
        if self.random.random() < 0.3:
            self.order.cancel(self._stamp())

    def charge_settles(self) -> None:
        for charge_id in self.order.charge_ids:
            if charge_id not in self.order.settled_charge_ids:
                currency = self.random.choice((self.order.total.currency, "USD"))
                fee = Money(self.random.randrange(100), currency)
                self.stripe[currency] -= fee.amount
                self.fees[currency] += fee.amount
                settlement = Settlement(f"txn_{charge_id}", fee, Money(1_000, currency))
                self.order.note_settlement(charge_id, settlement, self._stamp())

    def units_are_refunded(self) -> None:
        kept = order_refunds.refundable(self.order)
        ids = self.random.sample(sorted(kept), k=self.random.randint(0, len(kept)))
        wanted = {ticket_id: self.random.randint(1, kept[ticket_id]) for ticket_id in ids}
        order_refunds.refund(self.order, wanted, self.random.choice(("buyer", "seller", "house")), self._stamp())

    def money_is_refunded_at_stripe(self) -> None:
        order = self.order
        if order.charge_id is None or not order.total.amount:
            return
        left = order.total.amount - sum(refund.money.amount for refund in order.refunds if refund.refund_id)
        amounts = [left, order.money_left, left // 2, 1]
        amount = self.random.choice([amount for amount in amounts if amount > 0] or [0])
        if 0 < amount <= left:
            self._note_refund(order.charge_id, Money(amount, order.total.currency))

    def refund_is_made(self) -> None:
        for refund in self._refunds("pending"):
            self._note_refund(refund.charge_id, refund.money, refund.number, refund.tries)

    def refund_fails(self) -> None:
        disputes = {dispute.dispute_id for dispute in self.order.disputes}
        for refund in self._refunds("succeeded")[:1]:
            if refund.refund_id is not None and refund.refund_id not in disputes:
                self.stripe[refund.money.currency] += refund.money.amount
                order_refunds.note_refund_failure(self.order, refund.refund_id, self._stamp())

    def payouts_are_released(self) -> None:
        order_payouts.release(self.order, {seller: f"acct_{seller.int}" for seller in SELLERS}, self._stamp())

    def transfer_is_made(self) -> None:
        for transfer in self.order.transfers:
            if transfer.transfer_id is None:
                self.stripe[transfer.money.currency] -= transfer.money.amount
                order_payouts.note_transfer(self.order, transfer.number, f"tr_{transfer.number}", self._stamp())

    def reversal_is_made(self) -> None:
        for reversal in self.order.reversals:
            if reversal.reversal_id is None:
                self.stripe[reversal.money.currency] += reversal.money.amount
                order_payouts.note_reversal(self.order, reversal.number, f"trr_{reversal.number}", self._stamp())

    def bank_disputes(self) -> None:
        if self.order.charge_id is not None and len(self.order.disputes) < 2:
            amount = self.random.choice((self.order.total.amount, max(1, self.order.total.amount // 2)))
            money = Money(amount, self.order.total.currency)
            dispute_id = f"dp_{len(self.order.disputes) + 1}"
            self._note_dispute(Dispute(dispute_id, self.order.charge_id, money, "fraudulent", "needs_response"))

    def bank_speaks(self) -> None:
        """Of a dispute that is not over, or one whose money is still under way."""
        for dispute in self.order.disputes:
            status = dispute.status
            if dispute.is_open:
                status = self.random.choice(("under_review", "won", "lost", "warning_closed"))
            self._note_dispute(replace(dispute, status=status))

    # Inside -------------------------------------------------------------------------------------------------------

    def _item(self, currency: str) -> Item:
        step = step_of(currency)
        price = self.random.choice((0, 1, 7, 333, 2_500)) * step
        fee = self.random.choice((0, 0, price, price // 2 // step * step))
        until = NOON + timedelta(days=1)
        quantity = self.random.choice((1, 2, 5))
        seller = self.random.choice(SELLERS)
        return Item(self._id(), seller, "x", quantity, Money(price, currency), until, fee)

    def _await(self) -> None:
        if self.order.payment_intent_id is None:
            self.order.await_payment("pi_1", self._stamp())

    def _charge(self, refund_reason: str | None) -> None:
        assert self.order.payment_intent_id is not None
        charge_id = f"ch_{len(self.order.charge_ids) + 1}"
        charge = Charge(self.order.payment_intent_id, charge_id, self.order.total)
        self.stripe[charge.money.currency] += charge.money.amount
        self.order.take_charge(charge, self._stamp(), terms=self.terms, payout_at=self.now, refund_reason=refund_reason)

    def _note_refund(self, charge_id: str, money: Money, number: int | None = None, tries: int = 0) -> None:
        before = len(self.order.refunds), self._refunds("succeeded")
        refund_id = f"re_{self._id()}"
        order_refunds.note_refund(self.order, RefundMade(refund_id, charge_id, money, number, tries), self._stamp())
        assert (len(self.order.refunds), self._refunds("succeeded")) != before
        self.stripe[money.currency] -= money.amount

    def _note_dispute(self, told: Dispute) -> None:
        withdrawn = told.withdrawn or self.random.random() < 0.6 or told.status in ("won", "lost")
        reinstated = told.reinstated or (withdrawn and told.status in ("won", "warning_closed"))
        fee = Money(1_500, self.random.choice((told.money.currency, "USD")))
        known = next((known for known in self.order.disputes if known.dispute_id == told.dispute_id), told)
        if withdrawn and not known.withdrawn:
            self._bank_takes(told.money, 1)
            self.stripe[fee.currency] -= fee.amount
            self.fees[fee.currency] += fee.amount
        if reinstated and not known.reinstated:
            self._bank_takes(told.money, -1)
        if known.is_open and told.status == "lost":
            self.held[told.money.currency] -= told.money.amount
        word = DisputeWord(replace(told, withdrawn=False, reinstated=False), fee if withdrawn else None, reinstated)
        order_disputes.note_dispute(self.order, word, self._stamp())

    def _bank_takes(self, money: Money, sign: int) -> None:
        self.stripe[money.currency] -= sign * money.amount
        self.held[money.currency] += sign * money.amount

    def _refunds(self, status: str) -> list[Refund]:
        return [refund for refund in self.order.refunds if refund.status == status]

    def _stamp(self) -> Stamp:
        self.now += timedelta(seconds=1)
        return Stamp(self.now, Cause(None, self._id(), self._id()))

    def _id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)


def many(seed: int, lives: int, steps: int = 25) -> list[Event]:
    """The events of some orders, as they could lie in one log: each order's in order, orders among each other."""
    random = Random(seed)
    waiting = [Life(random).tell(steps).order.collect_events() for _ in range(lives)]
    events: list[Event] = []
    while waiting := [left for left in waiting if left]:
        events.append(random.choice(waiting).pop(0))  # type: ignore[arg-type]
    return events


def published(events: Sequence[Event], positions: Sequence[int] | None = None) -> list[PublishedEvent]:
    """The log as others see it."""
    places = positions or range(1, len(events) + 1)
    return [publish(event, position) for event, position in zip(events, places, strict=True)]

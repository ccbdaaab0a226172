"""The life of an order: created → awaiting_payment → completed | cancelled | expired, completed → refunded.

An order decides about money; the units are its tickets'. Both are told in one transaction (`domain/marketplace.py`),
so that an order is completed exactly when its units are sold.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.aggregate import Aggregate, CreatedEvent, Event, Stamp, begin, pinned
from domain.charges import largest_of
from domain.errors import ChargeMismatch, Invalid, OrderNotOpen
from domain.money import Money

MAX_ITEMS = 20
"""Listings in one order: bounds the locks one transaction takes."""

MAX_QUANTITY_PER_ITEM = 100
"""Units of one listing in one order."""

CREATED, AWAITING_PAYMENT = "created", "awaiting_payment"
COMPLETED, CANCELLED, EXPIRED, REFUNDED = "completed", "cancelled", "expired", "refunded"


@dataclass(frozen=True, slots=True)
class Item:
    """Units of one listing at the price they were ordered for."""

    ticket_id: UUID
    seller_id: UUID
    title: str
    quantity: int
    price: Money
    """Of one unit."""


@dataclass(frozen=True, slots=True)
class Charge:
    """Money that Stripe took for a PaymentIntent."""

    payment_intent_id: str
    charge_id: str
    money: Money


INTENT_CANCELED = "payment_intent_canceled"
"""The failure code that says: this intent will never take money."""


@dataclass(frozen=True, slots=True)
class ChargeFailure:
    """What Stripe said when it took no money: its error code and, from the card's bank, the decline code."""

    payment_intent_id: str
    code: str
    decline_code: str | None = None
    charge_id: str | None = None
    """The refused charge, where one was tried."""


def total_of(items: tuple[Item, ...]) -> Money:
    """What the items cost together.

    Raises:
        Invalid: no item, two currencies, or more than one charge can take.
    """
    if not items:
        raise Invalid("items", "expected at least one")
    total = Money(0, items[0].price.currency)
    for position, item in enumerate(items):
        if item.price.currency != total.currency:
            raise Invalid(f"items[{position}]", "an order has one currency")
        total += item.price * item.quantity
    if total.amount > largest_of(total.currency):
        raise Invalid("items", f"an order comes to at most {largest_of(total.currency)} minor units")
    return total


@dataclass(kw_only=True, eq=False)
class Order(Aggregate):
    """One buyer's order."""

    buyer_id: UUID
    items: tuple[Item, ...]
    total: Money
    expires_at: datetime
    """Fixed when the order is made; nothing the buyer does extends it."""
    status: str = CREATED
    payment_intent_id: str | None = None
    intent_open: bool = False
    """Whether the PaymentIntent could still take money, as far as Stripe told."""
    charge_id: str | None = None
    charge_ids: tuple[str, ...] = ()
    """Every charge ever heard of, good or refused, so that hearing of one twice changes nothing."""
    refund_due: Charge | None = None
    """Money that came too late or for nothing, and has to go back."""
    refund_id: str | None = None

    # What it knows ------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Not paid, not ended: its units are held until the deadline."""
        return self.status in (CREATED, AWAITING_PAYMENT)

    def takes_late_money(self) -> bool:
        """Whether a charge may still complete it. What the buyer cancelled stays cancelled."""
        return self.is_open or self.status == EXPIRED

    def check_payable(self, now: datetime) -> None:
        """Raises `OrderNotOpen` when no payment may be begun."""
        if not self.is_open or now >= self.expires_at:
            raise OrderNotOpen(f"the order is {self.status if not self.is_open else 'past its deadline'}")

    # What it is told ----------------------------------------------------------------------------------------------

    @classmethod
    def place(
        cls, order_id: UUID, buyer_id: UUID, items: tuple[Item, ...], expires_at: datetime, stamp: Stamp
    ) -> Order:
        """Makes an order; one that costs nothing is completed at once."""
        order: Order = begin(
            cls.Created(
                originator_id=order_id,
                originator_version=1,
                timestamp=stamp.at,
                cause=stamp.cause,
                buyer_id=buyer_id,
                items=items,
                total=total_of(items),
                expires_at=expires_at,
            )
        )
        if order.total.amount == 0:
            order.trigger(cls.Completed, stamp, charge_id=None)
        return order

    def await_payment(self, payment_intent_id: str, stamp: Stamp) -> None:
        """Takes down the PaymentIntent, before it may be confirmed; the same one again changes nothing.

        Raises:
            OrderNotOpen: ended, past its deadline, or waiting for another intent.
        """
        if self.is_open and self.payment_intent_id == payment_intent_id:
            return
        self.check_payable(stamp.at)
        if self.payment_intent_id is not None:
            raise OrderNotOpen("the order waits for another payment")
        self.trigger(self.AwaitingPayment, stamp, payment_intent_id=payment_intent_id)

    def check_charge(self, charge: Charge) -> None:
        """Raises `ChargeMismatch` when the money is not for this order."""
        if charge.payment_intent_id != self.payment_intent_id:
            raise ChargeMismatch("the charge is of another payment intent")
        if charge.money != self.total:
            raise ChargeMismatch(f"the charge is {charge.money}, the order {self.total}")

    def knows_charge(self, charge_id: str) -> bool:
        return charge_id in self.charge_ids

    def take_charge(self, charge: Charge, *, completes: bool, stamp: Stamp) -> None:
        """Takes money in: it completes the order, or it is to go back (`refund_due`).

        Money that finds its order open but its units gone ends the order as expired.
        """
        assert not self.knows_charge(charge.charge_id)
        assert not completes or self.takes_late_money()
        self.trigger(
            self.ChargeCreated,
            stamp,
            payment_intent_id=charge.payment_intent_id,
            charge_id=charge.charge_id,
            money=charge.money,
            refund_due=not completes,
        )
        if completes:
            self.trigger(self.Completed, stamp, charge_id=charge.charge_id)
        elif self.is_open:
            self.trigger(self.Expired, stamp)

    def note_failure(self, failure: ChargeFailure, stamp: Stamp) -> None:
        """Takes down that Stripe refused a charge, or closed the intent for good; hearing it twice changes nothing."""
        if failure.payment_intent_id != self.payment_intent_id or not self.intent_open:
            return
        if failure.charge_id is not None and self.knows_charge(failure.charge_id):
            return
        self.trigger(
            self.ChargeFailed,
            stamp,
            payment_intent_id=failure.payment_intent_id,
            charge_id=failure.charge_id,
            code=failure.code,
            decline_code=failure.decline_code,
        )

    def cancel(self, stamp: Stamp) -> None:
        """The buyer's own end of it.

        Raises:
            OrderNotOpen: paid or ended already.
        """
        if not self.is_open:
            raise OrderNotOpen(f"the order is {self.status}")
        self.trigger(self.Cancelled, stamp)

    def expire(self, stamp: Stamp) -> bool:
        """Ends the order if it is open past its deadline; True if this call did it."""
        due = self.is_open and stamp.at >= self.expires_at
        if due:
            self.trigger(self.Expired, stamp)
        return due

    def note_refund(self, refund_id: str, charge: Charge, stamp: Stamp) -> None:
        """Takes down that money went back; the same refund again changes nothing."""
        if self.refund_id == refund_id:
            return
        self.trigger(
            self.RefundCreated,
            stamp,
            payment_intent_id=charge.payment_intent_id,
            charge_id=charge.charge_id,
            refund_id=refund_id,
            money=charge.money,
        )

    # What happened ------------------------------------------------------------------------------------------------

    @pinned("stagedoor.Order.Created")
    class Created(CreatedEvent):
        buyer_id: UUID
        items: tuple[Item, ...]
        total: Money
        expires_at: datetime

        def create(self) -> Order:
            return Order(
                **self.base_fields(),
                buyer_id=self.buyer_id,
                items=self.items,
                total=self.total,
                expires_at=self.expires_at,
            )

    @pinned("stagedoor.Order.AwaitingPayment")
    class AwaitingPayment(Event):
        payment_intent_id: str

        def apply(self, aggregate: Order) -> None:
            aggregate.status = AWAITING_PAYMENT
            aggregate.payment_intent_id = self.payment_intent_id
            aggregate.intent_open = True

    @pinned("stagedoor.Order.ChargeCreated")
    class ChargeCreated(Event):
        payment_intent_id: str
        charge_id: str
        money: Money
        refund_due: bool

        def apply(self, aggregate: Order) -> None:
            aggregate.charge_id = self.charge_id
            aggregate.charge_ids = (*aggregate.charge_ids, self.charge_id)
            aggregate.intent_open = False
            if self.refund_due:
                aggregate.refund_due = Charge(self.payment_intent_id, self.charge_id, self.money)

    @pinned("stagedoor.Order.ChargeFailed")
    class ChargeFailed(Event):
        payment_intent_id: str
        charge_id: str | None
        code: str
        decline_code: str | None

        def apply(self, aggregate: Order) -> None:
            if self.charge_id is not None:
                aggregate.charge_ids = (*aggregate.charge_ids, self.charge_id)
            if self.code == INTENT_CANCELED:
                aggregate.intent_open = False

    @pinned("stagedoor.Order.Completed")
    class Completed(Event):
        charge_id: str | None

        def apply(self, aggregate: Order) -> None:
            aggregate.status = COMPLETED

    @pinned("stagedoor.Order.Cancelled")
    class Cancelled(Event):
        def apply(self, aggregate: Order) -> None:
            aggregate.status = CANCELLED

    @pinned("stagedoor.Order.Expired")
    class Expired(Event):
        def apply(self, aggregate: Order) -> None:
            aggregate.status = EXPIRED

    @pinned("stagedoor.Order.RefundCreated")
    class RefundCreated(Event):
        payment_intent_id: str
        charge_id: str
        refund_id: str
        money: Money

        def apply(self, aggregate: Order) -> None:
            aggregate.refund_id = self.refund_id
            if aggregate.refund_due is not None and aggregate.refund_due.charge_id == self.charge_id:
                aggregate.refund_due = None

    @pinned("stagedoor.Order.Refunded")
    class Refunded(Event):
        def apply(self, aggregate: Order) -> None:
            aggregate.status = REFUNDED

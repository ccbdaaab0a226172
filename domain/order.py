"""The life of an order: created → awaiting_payment → completed | cancelled | expired, completed → refunded.

An order decides about money; the units are its tickets'. Both are told in one transaction (`domain/marketplace.py`),
so that an order is completed exactly when its units are sold. What happens to the money afterwards is told in
`domain/order_refunds.py`, `order_payouts.py` and `order_disputes.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from domain.aggregate import Aggregate, CreatedEvent, Event, Stamp, begin, pinned
from domain.charges import largest_of
from domain.errors import ChargeMismatch, Invalid, OrderNotOpen
from domain.money import Money
from domain.payouts import Dispute, Refund, Reversal, Share, Terms, Transfer, fee_of, newest_refund_id, next_number

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
    refund_until: datetime | None = None
    """The seller's terms at the time of the order, see `domain.listing.Listing`."""
    refund_fee: int = 0
    refunded: int = 0
    """Units that are the buyer's no more."""

    @property
    def kept(self) -> int:
        """Units that are still the buyer's."""
        return self.quantity - self.refunded


@dataclass(frozen=True, slots=True)
class CheckIn:
    """A ticket that let somebody in."""

    ticket_id: UUID
    number: int
    """Which of the order's tickets for the listing, from 1."""
    at: datetime
    gate: str | None
    """The door, in the words of who stood there."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a charge on the house's balance at Stripe, in the currency of that balance."""

    balance_transaction_id: str
    fee: Money
    """Stripe's."""
    net: Money


@dataclass(frozen=True, slots=True)
class Charge:
    """Money that Stripe took for a PaymentIntent."""

    payment_intent_id: str
    charge_id: str
    money: Money
    settlement: Settlement | None = None
    """Where it is known already."""


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
    amount, currency = 0, items[0].price.currency
    for position, item in enumerate(items):
        if item.price.currency != currency:
            raise Invalid(f"items[{position}]", "an order has one currency")
        amount += item.price.amount * item.quantity
    if amount > (largest := largest_of(currency)):
        raise Invalid("items", f"an order comes to at most {largest} minor units")
    return Money(amount, currency)


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
    settled_charge_ids: tuple[str, ...] = ()
    """Charges of which Stripe's fee is known."""
    fee_bps: int = 0
    """The house's, when it was paid."""
    money_left: int = 0
    """Of what completed the order: not refunded, not lost to a bank."""
    shares: tuple[Share, ...] = ()
    """How that is divided, item by item; empty before it is completed."""
    refunds: tuple[Refund, ...] = ()
    """All of them, the oldest first; also of money that came too late."""
    payout_at: datetime | None = None
    """From when on its sellers may be paid; None: nobody is to be."""
    transfers: tuple[Transfer, ...] = ()
    reversals: tuple[Reversal, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    check_ins: tuple[CheckIn, ...] = ()

    # What it knows ------------------------------------------------------------------------------------------------

    def refers_to(self) -> Collection[UUID]:
        """Its tickets."""
        return [item.ticket_id for item in self.items]

    @property
    def is_open(self) -> bool:
        """Not paid, not ended: its units are held until the deadline."""
        return self.status in (CREATED, AWAITING_PAYMENT)

    def takes_late_money(self) -> bool:
        """Whether a charge may still complete it. What the buyer cancelled stays cancelled."""
        return self.is_open or self.status == EXPIRED

    @property
    def refund_id(self) -> str | None:
        """The newest refund that was made."""
        return newest_refund_id(self.refunds)

    @property
    def is_disputed(self) -> bool:
        """Whether a bank is deciding about its money."""
        return any(dispute.is_open for dispute in self.disputes)

    def due_moves(self) -> tuple[Refund | Transfer | Reversal, ...]:
        """Money that is decided to move, and that Stripe has not moved yet."""
        refunds = [refund for refund in self.refunds if refund.status == "pending"]
        transfers = [transfer for transfer in self.transfers if transfer.transfer_id is None]
        return (*refunds, *transfers, *(reversal for reversal in self.reversals if reversal.reversal_id is None))

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
            order._complete(None, Terms(), None, stamp)
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

    def take_charge(
        self, charge: Charge, stamp: Stamp, *, terms: Terms, payout_at: datetime | None, refund_reason: str | None
    ) -> None:
        """Takes money in: it completes the order, or it is to go back.

        Money that finds its order open but its units gone ends the order as expired.

        Args:
            refund_reason: why it is to go back, see `Refund.reason`; None: it completes the order.
        """
        assert not self.knows_charge(charge.charge_id)
        assert refund_reason is not None or self.takes_late_money()
        refunds = self.refunds
        if refund_reason is not None:
            refunds = (*refunds, Refund(next_number(refunds), charge.charge_id, charge.money, refund_reason))
        self.trigger(
            self.ChargeCreated,
            stamp,
            payment_intent_id=charge.payment_intent_id,
            charge_id=charge.charge_id,
            money=charge.money,
            refund_due=refund_reason is not None,
            refunds=refunds,
            moves_due=len(self.due_moves()) + len(refunds) - len(self.refunds),
        )
        if refund_reason is None:
            self._complete(charge.charge_id, terms, payout_at, stamp)
        elif self.is_open:
            self.trigger(self.Expired, stamp)
        if charge.settlement is not None:
            self.note_settlement(charge.charge_id, charge.settlement, stamp)

    def note_settlement(self, charge_id: str, settlement: Settlement, stamp: Stamp) -> None:
        """Takes down what Stripe kept of a charge; hearing it twice changes nothing."""
        if self.knows_charge(charge_id) and charge_id not in self.settled_charge_ids:
            self.trigger(
                self.ChargeSettled,
                stamp,
                charge_id=charge_id,
                balance_transaction_id=settlement.balance_transaction_id,
                fee=settlement.fee,
                net=settlement.net,
            )

    def _complete(self, charge_id: str | None, terms: Terms, payout_at: datetime | None, stamp: Stamp) -> None:
        shares = _shares(self.items, terms.fee_bps) if self.total.amount else ()
        self.trigger(
            self.Completed,
            stamp,
            charge_id=charge_id,
            money=self.total,
            fee_bps=terms.fee_bps,
            shares=shares,
            payout_at=payout_at,
        )

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

    # What happened ------------------------------------------------------------------------------------------------

    @pinned("stagedoor.Order.Created")
    class Created(CreatedEvent):
        class_version: ClassVar[int] = 2
        buyer_id: UUID
        items: tuple[Item, ...]
        total: Money
        expires_at: datetime

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            for item in state["items"]:
                item |= {"refund_until": None, "refund_fee": 0, "refunded": 0}

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
        class_version: ClassVar[int] = 2
        payment_intent_id: str
        charge_id: str
        money: Money
        refund_due: bool
        refunds: tuple[Refund, ...]
        moves_due: int

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            due = {"number": 1, "charge_id": state["charge_id"], "money": state["money"], "reason": "late"}
            state["refunds"] = [due] if state["refund_due"] else []
            state["moves_due"] = len(state["refunds"])

        def apply(self, aggregate: Order) -> None:
            aggregate.charge_id = self.charge_id
            aggregate.charge_ids = (*aggregate.charge_ids, self.charge_id)
            aggregate.intent_open = False
            aggregate.refunds = self.refunds

    @pinned("stagedoor.Order.ChargeSettled")
    class ChargeSettled(Event):
        charge_id: str
        balance_transaction_id: str
        fee: Money
        net: Money

        def apply(self, aggregate: Order) -> None:
            aggregate.settled_charge_ids = (*aggregate.settled_charge_ids, self.charge_id)

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
        class_version: ClassVar[int] = 2
        charge_id: str | None
        money: Money | None
        """What it cost; None in the first version."""
        fee_bps: int
        shares: tuple[Share, ...]
        payout_at: datetime | None

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state |= {"money": None, "fee_bps": 0, "shares": [], "payout_at": None}

        def apply(self, aggregate: Order) -> None:
            aggregate.status = COMPLETED
            aggregate.fee_bps = self.fee_bps
            aggregate.money_left = aggregate.total.amount
            # None are stored of what cost nothing, nor were in the first version.
            aggregate.shares = self.shares or _shares(aggregate.items, 0)
            aggregate.payout_at = self.payout_at

    @pinned("stagedoor.Order.Cancelled")
    class Cancelled(Event):
        def apply(self, aggregate: Order) -> None:
            aggregate.status = CANCELLED

    @pinned("stagedoor.Order.Expired")
    class Expired(Event):
        def apply(self, aggregate: Order) -> None:
            aggregate.status = EXPIRED


def _shares(items: tuple[Item, ...], fee_bps: int) -> tuple[Share, ...]:
    gross = [(item, item.price.amount * item.quantity) for item in items]
    return tuple(
        Share(item.ticket_id, item.seller_id, item.quantity, amount, fee_of(amount, fee_bps, item.price.currency))
        for item, amount in gross
    )

"""The published events about an order's money, see `domain/published.py`. All are on the topic of the orders.

`moves_due` counts what Stripe still has to move for the order (refunds, transfers, reversals) after the event.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.money import Money
from domain.order import Item
from domain.payouts import Refund, Share, TakenBack


@dataclass(frozen=True, slots=True)
class ChargeCreated:
    """Stripe took money for the order."""

    payment_intent_id: str
    charge_id: str
    money: Money
    refund_due: bool
    """The money came too late or for nothing and goes back."""
    refunds: tuple[Refund, ...]
    """All of the order's, the oldest first."""
    moves_due: int


@dataclass(frozen=True, slots=True)
class ChargeSettled:
    """What a charge is on the house's balance at Stripe."""

    charge_id: str
    balance_transaction_id: str
    fee: Money
    """Stripe's, in the currency of the balance."""
    net: Money


@dataclass(frozen=True, slots=True)
class ChargeFailed:
    """Stripe took no money: refused, or the intent was closed."""

    payment_intent_id: str
    charge_id: str | None
    code: str
    """Stripe's error code; `payment_intent_canceled`: the intent was closed and will never take money."""
    decline_code: str | None


@dataclass(frozen=True, slots=True)
class OrderCompleted:
    """The order is paid, or cost nothing; its units are sold."""

    charge_id: str | None
    """None: the order cost nothing."""
    money: Money | None
    """What it cost; None: it was paid before this was told."""
    fee_bps: int
    """The house's fee, in basis points."""
    shares: tuple[Share, ...]
    """How the money is divided, item by item; empty when it cost nothing, or was paid before this was told."""
    payout_at: datetime | None
    """From when on its sellers are paid; None: not by Stripe."""


@dataclass(frozen=True, slots=True)
class OrderRefunded:
    """Units of a completed order are the buyer's no more, or money goes back without them."""

    status: str
    """Of the order now: `refunded` when it was the last unit, else `completed`."""
    money: Money
    """What goes back."""
    reason: str
    """Who wanted it: `buyer`, `seller`, `house`; `stripe`: it was made there."""
    taken_back: tuple[TakenBack, ...]
    from_house: int
    """What goes back of no item's money."""
    items: tuple[Item, ...]
    """The order's items as they are now."""
    refunds: tuple[Refund, ...]
    moves_due: int
    payout_at: datetime | None


@dataclass(frozen=True, slots=True)
class RefundCreated:
    """Stripe sends money of a charge back."""

    payment_intent_id: str
    charge_id: str
    refund_id: str
    money: Money
    number: int
    """Which of `refunds`."""
    refunds: tuple[Refund, ...]
    moves_due: int


@dataclass(frozen=True, slots=True)
class RefundFailed:
    """A refund never came to the card; the money is the house's again, and still the buyer's due."""

    charge_id: str
    refund_id: str
    money: Money
    number: int
    refunds: tuple[Refund, ...]
    moves_due: int


@dataclass(frozen=True, slots=True)
class TransferDue:
    """A seller's part of the order goes to their Stripe account."""

    number: int
    seller_id: UUID
    money: Money
    moves_due: int
    payout_at: datetime | None
    """None: nobody else of this order is to be paid."""


@dataclass(frozen=True, slots=True)
class TransferCreated:
    """Stripe has moved it."""

    number: int
    seller_id: UUID
    transfer_id: str
    money: Money
    moves_due: int


@dataclass(frozen=True, slots=True)
class TransferReversalDue:
    """A seller has money of which the buyer's part went back: it comes back from their account."""

    number: int
    seller_id: UUID
    transfer_id: str
    money: Money
    moves_due: int


@dataclass(frozen=True, slots=True)
class TransferReversed:
    """Stripe has taken it back."""

    number: int
    seller_id: UUID
    transfer_id: str
    reversal_id: str
    money: Money
    moves_due: int


@dataclass(frozen=True, slots=True)
class DisputeCreated:
    """A buyer's bank asks money back. No seller of the order is paid until it is over."""

    dispute_id: str
    charge_id: str
    money: Money
    reason: str
    status: str
    """Stripe's."""
    evidence_due_by: datetime | None


@dataclass(frozen=True, slots=True)
class DisputeUpdated:
    """The dispute has come further."""

    dispute_id: str
    status: str


@dataclass(frozen=True, slots=True)
class DisputeFundsWithdrawn:
    """The bank has taken the money for now."""

    dispute_id: str
    money: Money
    fee: Money
    """Stripe's, for the dispute."""


@dataclass(frozen=True, slots=True)
class DisputeFundsReinstated:
    """The bank has given the money back."""

    dispute_id: str
    money: Money


@dataclass(frozen=True, slots=True)
class DisputeClosed:
    """The dispute is over: `won`, `lost`, `warning_closed` or `prevented`."""

    dispute_id: str
    status: str
    money: Money
    """What was lost."""
    taken_back: tuple[TakenBack, ...]
    from_house: int
    """What is lost of no item's money."""
    refunds: tuple[Refund, ...]
    """One that was decided and not made is the bank's now: its `refund_id` is the dispute's."""
    moves_due: int
    payout_at: datetime | None


MoneyData = (
    ChargeCreated
    | ChargeSettled
    | ChargeFailed
    | OrderCompleted
    | OrderRefunded
    | RefundCreated
    | RefundFailed
    | TransferDue
    | TransferCreated
    | TransferReversalDue
    | TransferReversed
    | DisputeCreated
    | DisputeUpdated
    | DisputeFundsWithdrawn
    | DisputeFundsReinstated
    | DisputeClosed
)

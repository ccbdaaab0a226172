"""How the money of an order is divided: what each seller has of it, what the house keeps, what goes back.

Amounts are minor units of the order's one currency. The house's fee is rounded down, to what a card can be charged, so
that every part of it can be moved.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeVar
from uuid import UUID

from domain.charges import step_of
from domain.money import Money

BASIS_POINTS = 10_000

MAX_TRIES = 3
"""Refunds that Stripe has made and then failed: the card's bank takes no money back. A person has to look."""


Payouts = Literal["off", "at_once", "after_event"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the house takes, and when it pays its sellers; an order keeps those it was paid under."""

    fee_bps: int = 0
    """Of every sale, in basis points (1/100 %)."""
    payouts: Payouts = "off"
    """`off`: sellers are paid by other means than Stripe."""
    delay: timedelta = timedelta(hours=24)
    """After the begin of the last event of an order."""

    def payout_at(self, paid_at: datetime, starts_at: Iterable[datetime]) -> datetime | None:
        """When an order's sellers may have their money; None: not by Stripe."""
        if self.payouts == "off":
            return None
        return paid_at if self.payouts == "at_once" else max(paid_at, *(at + self.delay for at in starts_at))


@dataclass(frozen=True, slots=True)
class Share:
    """What one item's money is at present: `gross` of the buyer's, of which `fee` is the house's."""

    ticket_id: UUID
    seller_id: UUID
    quantity: int
    """Units that were sold."""
    gross: int
    fee: int

    @property
    def net(self) -> int:
        """The seller's part."""
        return self.gross - self.fee

    def less(self, amount: int, fee_bps: int, currency: str) -> Share:
        """After so much went back to the buyer."""
        gross = self.gross - amount
        return replace(self, gross=gross, fee=fee_of(gross, fee_bps, currency))


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Money of one item that goes back to the buyer, and out of whose pocket."""

    ticket_id: UUID
    seller_id: UUID
    quantity: int
    """Units that are the buyer's no more; 0: money alone."""
    from_seller: int
    from_house: int

    @property
    def amount(self) -> int:
        return self.from_seller + self.from_house


@dataclass(frozen=True, slots=True)
class Refund:
    """Money of a charge that goes back to the buyer: decided here, made by Stripe."""

    number: int
    """1, 2, 3 … of the order; with `tries` it is the key by which Stripe makes it once."""
    charge_id: str
    money: Money
    reason: str
    """Late money: `cancelled`, `sold_out`, `withdrawn`, `paid_twice`; else who wanted it: `buyer`, `seller`, `house`,
    or `stripe` for one that was made there."""
    refund_id: str | None = None
    tries: int = 0
    """How often Stripe failed to bring it to the card after all."""

    @property
    def status(self) -> str:
        """`succeeded`, `pending` or, when it is tried no more, `failed`."""
        if self.refund_id is not None:
            return "succeeded"
        return "pending" if self.tries < MAX_TRIES else "failed"


def next_number(refunds: tuple[Refund, ...]) -> int:
    """For one more refund. A number is never given again, also when its refund was replaced."""
    return max((refund.number for refund in refunds), default=0) + 1


def pending_of(refunds: tuple[Refund, ...]) -> int:
    """How many Stripe has still to make."""
    return sum(refund.status == "pending" for refund in refunds)


def newest_refund_id(refunds: tuple[Refund, ...]) -> str | None:
    """Of those that were made."""
    return next((refund.refund_id for refund in reversed(refunds) if refund.refund_id), None)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that goes from the house's Stripe account to a seller's."""

    number: int
    seller_id: UUID
    account_id: str
    money: Money
    charge_id: str
    """Whose money it is: Stripe moves it once that has arrived."""
    transfer_id: str | None = None
    reversed: int = 0
    """How much of it is decided to come back."""


@dataclass(frozen=True, slots=True)
class Reversal:
    """Money of a transfer that comes back from the seller."""

    number: int
    seller_id: UUID
    transfer_id: str
    money: Money
    reversal_id: str | None = None


Move = TypeVar("Move", Refund, Transfer, Reversal)


def put(known: tuple[Move, ...], changed: Move) -> tuple[Move, ...]:
    """With one of them changed: the one of the same number."""
    return tuple(changed if one.number == changed.number else one for one in known)


LOST = "lost"

DISPUTE_OVER = frozenset({"won", LOST, "warning_closed", "prevented"})
"""docs.stripe.com/api/disputes/object: states that a dispute stays in."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A buyer's bank asks a charge back; amounts may be less than the charge."""

    dispute_id: str
    charge_id: str
    money: Money
    reason: str
    status: str
    """Stripe's."""
    evidence_due_by: datetime | None = None
    withdrawn: bool = False
    """The bank has taken the money …"""
    reinstated: bool = False
    """… and given it back."""

    @property
    def is_open(self) -> bool:
        return self.status not in DISPUTE_OVER


def fee_of(amount: int, fee_bps: int, currency: str) -> int:
    """The house's part of what a seller sold for."""
    step = step_of(currency)
    return amount * fee_bps // BASIS_POINTS // step * step


def take_back(share: Share, quantity: int, amount: int, fee_bps: int, currency: str) -> tuple[Share, TakenBack]:
    """The share after so much of it went back, and who gave it."""
    left = share.less(amount, fee_bps, currency)
    from_house = share.fee - left.fee
    return left, TakenBack(share.ticket_id, share.seller_id, quantity, amount - from_house, from_house)

"""What queries return: read-model rows as typed values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from domain.listing import EventDetails, Listing
from domain.money import Money
from domain.order import Item
from domain.payouts import Refund, newest_refund_id

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next_cursor` is None on the last one."""

    items: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class TicketRow:
    """A listing as the read model has it."""

    id: UUID
    version: int
    seller_id: UUID
    listing: Listing
    available: int
    held: int
    sold: int
    status: str
    """`open`, `sold_out` or `withdrawn`."""
    created_at: datetime
    updated_at: datetime


SELECT_TICKETS = (
    "SELECT id, version, seller_id, available, held, sold, withdrawn, created_at, updated_at, title, event_name,"
    " starts_at, venue, promoter, category, amount, currency, quantity, description, hold_seconds,"
    " refund_until, refund_fee, resell_returned FROM ticket_listing"
)


def ticket_row(row: Sequence[Any]) -> TicketRow:
    """A row of `SELECT_TICKETS`."""
    (ticket_id, version, seller_id, available, held, sold, withdrawn, created_at, updated_at, *offer) = row
    title, name, starts_at, venue, promoter, category, amount, currency, quantity, *terms = offer
    event = EventDetails(name, starts_at, venue, promoter, category)
    return TicketRow(
        id=ticket_id,
        version=version,
        seller_id=seller_id,
        listing=Listing(title, event, Money(amount, currency), quantity, *terms),
        available=available,
        held=held,
        sold=sold,
        status="withdrawn" if withdrawn else "open" if available > 0 else "sold_out",
        created_at=created_at,
        updated_at=updated_at,
    )


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as the read model has it."""

    id: UUID
    version: int
    buyer_id: UUID
    status: str
    items: tuple[Item, ...]
    refunds: tuple[Refund, ...]
    """The oldest first."""
    total: Money
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    payment_intent_id: str | None
    charge_id: str | None

    @property
    def refund_id(self) -> str | None:
        """The newest refund that was made."""
        return newest_refund_id(self.refunds)


SELECT_ORDERS = (
    "SELECT id, version, buyer_id, status, items::text, refunds::text, amount, currency, created_at, updated_at,"
    " expires_at, payment_intent_id, charge_id FROM buyer_orders"
)
_refunds = msgspec.json.Decoder(tuple[Refund, ...])
_items = msgspec.json.Decoder(tuple[Item, ...])


def order_row(row: Sequence[Any]) -> OrderRow:
    """A row of `SELECT_ORDERS`."""
    order_id, version, buyer_id, status, items, refunds, amount, currency, *rest = row
    money = (_items.decode(items), _refunds.decode(refunds), Money(amount, currency))
    return OrderRow(order_id, version, buyer_id, status, *money, *rest)


@dataclass(frozen=True, slots=True)
class DueOrder:
    """An open order past its deadline."""

    order_id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class MoneyDue:
    """An order of which Stripe has money to move; the order itself knows which."""

    order_id: UUID
    version: int
    """Of the order, as the read model has it."""


@dataclass(frozen=True, slots=True)
class UnsettledCharge:
    """A charge of which Stripe's fee is not known yet."""

    order_id: UUID
    version: int
    charge_id: str


@dataclass(frozen=True, slots=True)
class IntentToCancel:
    """A PaymentIntent that may still take money for an order that has ended."""

    order_id: UUID
    version: int
    payment_intent_id: str


@dataclass(frozen=True, slots=True)
class PayoutDue:
    """An order whose sellers may have their money."""

    order_id: UUID
    payout_at: datetime
    is_payable: bool
    """Whether Stripe takes money for one of them."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far in the log something is: everything up to `position` is published, or applied."""

    name: str
    """`relay`, or the name of a read model."""
    position: int
    updated_at: datetime
    trouble: str | None = None
    """The relay's: why it publishes nothing until somebody has looked."""

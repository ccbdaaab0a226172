"""The published events: the contract that read models, analytics and history are built on.

Private events (the aggregates' own) may change with the code; these may not, except by a new version. Each stored event
is published as exactly one of these, so that `sequence` counts without gaps for every key. None carries personal data.

On Kafka an event is a CloudEvent 1.0 in structured mode (`adapters/cloudevents.py`); the classes here are its `data`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from domain import check_in, order_disputes, order_payouts, order_refunds
from domain.aggregate import Cause, Event
from domain.listing import Listing
from domain.money import Money
from domain.order import Item, Order
from domain.published_money import (
    ChargeCreated,
    ChargeFailed,
    ChargeSettled,
    DisputeClosed,
    DisputeCreated,
    DisputeFundsReinstated,
    DisputeFundsWithdrawn,
    DisputeUpdated,
    MoneyData,
    OrderCompleted,
    OrderRefunded,
    RefundCreated,
    RefundFailed,
    TransferCreated,
    TransferDue,
    TransferReversalDue,
    TransferReversed,
)
from domain.ticket import Ticket
from domain.user import User

TICKETS, ORDERS, USERS = "stagedoor.tickets", "stagedoor.orders", "stagedoor.users"
"""The topics; the key is the aggregate's id."""


@dataclass(frozen=True, slots=True)
class UserCreated:
    """An account was opened."""


@dataclass(frozen=True, slots=True)
class UserUpdated:
    """An account was changed."""

    changed: tuple[str, ...]
    """Of `name`, `email`, `email_verified`, `password`, `admin`: which changed, never to what."""
    admin: bool


@dataclass(frozen=True, slots=True)
class PayoutAccountCreated:
    """A seller has a Stripe account for their money. Which one is not published."""


@dataclass(frozen=True, slots=True)
class PayoutAccountUpdated:
    """What Stripe lets happen with it."""

    transfers_enabled: bool
    payouts_enabled: bool
    details_submitted: bool


@dataclass(frozen=True, slots=True)
class UserErased:
    """A person's data was erased; the id stays."""


@dataclass(frozen=True, slots=True)
class TicketCreated:
    """Tickets were listed for sale."""

    seller_id: UUID
    listing: Listing
    available: int
    held: int
    sold: int


@dataclass(frozen=True, slots=True)
class TicketUpdated:
    """A listing was edited."""

    listing: Listing
    """The whole offer as it is now."""
    available: int
    held: int
    sold: int


@dataclass(frozen=True, slots=True)
class TicketWithdrawn:
    """A listing was taken off the market for good."""


@dataclass(frozen=True, slots=True)
class TicketReserved:
    """Units were locked by an order until a deadline."""

    order_id: UUID
    quantity: int
    expires_at: datetime
    available: int
    """`available`, `held` and `sold` are the listing's counts right after the event; their sum is its quantity."""
    held: int
    sold: int


@dataclass(frozen=True, slots=True)
class TicketReleased:
    """Units an order had locked are free again."""

    order_id: UUID
    quantity: int
    reason: str
    """`cancelled`, `expired`, or `lapsed`: taken over by another buyer after the deadline."""
    available: int
    held: int
    sold: int


@dataclass(frozen=True, slots=True)
class TicketSold:
    """Locked units became the buyer's."""

    order_id: UUID
    quantity: int
    available: int
    held: int
    sold: int


@dataclass(frozen=True, slots=True)
class TicketReturned:
    """Sold units came back by a refund."""

    order_id: UUID
    quantity: int
    available: int
    held: int
    sold: int


@dataclass(frozen=True, slots=True)
class OrderCreated:
    """An order was made; its units are locked."""

    buyer_id: UUID
    items: tuple[Item, ...]
    total: Money
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class OrderAwaitingPayment:
    """The order has a PaymentIntent, not yet confirmed."""

    payment_intent_id: str


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """The buyer ended the order before paying."""


@dataclass(frozen=True, slots=True)
class OrderExpired:
    """The deadline passed unpaid, or late money found the units gone."""


@dataclass(frozen=True, slots=True)
class CheckInCreated:
    """A ticket of the order let somebody in."""

    ticket_id: UUID
    number: int
    """Which of the order's tickets for this listing, from 1."""
    gate: str | None
    """The door, in the words of who stood there."""


TicketData = (
    TicketCreated | TicketUpdated | TicketWithdrawn | TicketReserved | TicketReleased | TicketSold | TicketReturned
)
OrderData = OrderCreated | OrderAwaitingPayment | OrderCancelled | OrderExpired | CheckInCreated | MoneyData
UserData = UserCreated | UserUpdated | UserErased | PayoutAccountCreated | PayoutAccountUpdated
Data = TicketData | OrderData | UserData


class PublishedEvent(NamedTuple):
    """One event as others see it: the envelope and its data. A tuple: it is made for every event that is read."""

    topic: str
    type: str
    """The name of the class of `data`."""
    subject: UUID
    """The aggregate; also the key."""
    sequence: int
    """The aggregate's version: 1, 2, 3 … without gaps."""
    position: int
    """The place in the store's log: grows along the log, with gaps."""
    time: datetime
    cause: Cause
    data: Data


class Publication(NamedTuple):
    """How a kind of stored event is published."""

    topic: str
    name: str
    """The published one."""
    data_class: type[Data]
    map: Callable[[Any], Data]
    copied: bool
    """Whether all that is published are fields of the stored event, under the same names."""


def _fields(data_class: type[Data]) -> Callable[[Any], Data]:
    """Copies from an event what the class of its data has: no other field is published."""
    names = [field.name for field in dataclasses.fields(data_class)]
    make: Callable[..., Data] = data_class
    if not names:
        return lambda _event: make()
    values = attrgetter(*names)
    if len(names) == 1:
        return lambda event: make(values(event))
    return lambda event: make(*values(event))


def _ticket_created(event: Ticket.Created) -> TicketCreated:
    return TicketCreated(event.seller_id, event.listing, event.listing.quantity, 0, 0)


def _transfer_due(event: order_payouts.TransferDue) -> TransferDue:
    due = event.transfer
    return TransferDue(due.number, due.seller_id, due.money, event.moves_due, event.payout_at)


def _reversal_due(event: order_payouts.ReversalDue) -> TransferReversalDue:
    due = event.reversal
    return TransferReversalDue(due.number, due.seller_id, due.transfer_id, due.money, event.moves_due)


def _dispute_created(event: order_disputes.DisputeCreated) -> DisputeCreated:
    told = event.dispute
    return DisputeCreated(told.dispute_id, told.charge_id, told.money, told.reason, told.status, told.evidence_due_by)


PUBLICATIONS: dict[type[Event], Publication] = {
    stored: Publication(topic, data_class.__name__, data_class, mapper or _fields(data_class), mapper is None)
    for stored, topic, data_class, mapper in (
        (User.Created, USERS, UserCreated, None),
        (User.Updated, USERS, UserUpdated, None),
        (User.PayoutAccountCreated, USERS, PayoutAccountCreated, None),
        (User.PayoutAccountUpdated, USERS, PayoutAccountUpdated, None),
        (User.Erased, USERS, UserErased, None),
        (Ticket.Created, TICKETS, TicketCreated, _ticket_created),
        (Ticket.Updated, TICKETS, TicketUpdated, None),
        (Ticket.Withdrawn, TICKETS, TicketWithdrawn, None),
        (Ticket.Reserved, TICKETS, TicketReserved, None),
        (Ticket.Released, TICKETS, TicketReleased, None),
        (Ticket.Sold, TICKETS, TicketSold, None),
        (Ticket.Returned, TICKETS, TicketReturned, None),
        (Order.Created, ORDERS, OrderCreated, None),
        (Order.AwaitingPayment, ORDERS, OrderAwaitingPayment, None),
        (Order.ChargeCreated, ORDERS, ChargeCreated, None),
        (Order.ChargeFailed, ORDERS, ChargeFailed, None),
        (Order.Completed, ORDERS, OrderCompleted, None),
        (Order.Cancelled, ORDERS, OrderCancelled, None),
        (Order.Expired, ORDERS, OrderExpired, None),
        (Order.ChargeSettled, ORDERS, ChargeSettled, None),
        (check_in.CheckInCreated, ORDERS, CheckInCreated, None),
        (order_refunds.Refunded, ORDERS, OrderRefunded, None),
        (order_refunds.RefundCreated, ORDERS, RefundCreated, None),
        (order_refunds.RefundFailed, ORDERS, RefundFailed, None),
        (order_payouts.TransferDue, ORDERS, TransferDue, _transfer_due),
        (order_payouts.TransferCreated, ORDERS, TransferCreated, None),
        (order_payouts.ReversalDue, ORDERS, TransferReversalDue, _reversal_due),
        (order_payouts.TransferReversed, ORDERS, TransferReversed, None),
        (order_disputes.DisputeCreated, ORDERS, DisputeCreated, _dispute_created),
        (order_disputes.DisputeUpdated, ORDERS, DisputeUpdated, None),
        (order_disputes.DisputeFundsWithdrawn, ORDERS, DisputeFundsWithdrawn, None),
        (order_disputes.DisputeFundsReinstated, ORDERS, DisputeFundsReinstated, None),
        (order_disputes.DisputeClosed, ORDERS, DisputeClosed, None),
    )
}

STORED_EVENTS: tuple[type[Event], ...] = tuple(PUBLICATIONS)
"""Every event that may be in the log."""

DATA_CLASSES: dict[str, tuple[str, type[Data]]] = {
    publication.name: (publication.topic, publication.data_class) for publication in PUBLICATIONS.values()
}
"""Every published type: its name, its topic, the class of its data."""


def publish(event: Event, position: int) -> PublishedEvent:
    """What others get to see of a stored event.

    Args:
        position: its place in the store's log.
    """
    topic, name, _, make, _ = PUBLICATIONS[type(event)]
    return PublishedEvent(
        topic, name, event.originator_id, event.originator_version, position, event.timestamp, event.cause, make(event)
    )

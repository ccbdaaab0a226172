"""Who holds and who owns the units of a listing, rebuilt from the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg

from adapters.settings import Settings
from cli.audit.errors import DamagedLogError
from cli.audit.names import read_names
from cli.audit.steps import Step, read_event
from domain.order import Order
from domain.published import PublishedEvent, TicketReleased, TicketReserved, TicketReturned, TicketSold
from domain.ticket import Ticket

HELD, SOLD = "held", "sold"

BATCH = 1_000
"""Orders and accounts asked for at a time."""

_FIRST_EVENTS = (
    "SELECT topic, state, notification_id FROM stored_events WHERE originator_id = ANY(%s) AND originator_version = 1"
)


@dataclass(slots=True)
class Share:
    """The units of the listing that one order holds or bought."""

    order_id: UUID
    quantity: int
    status: str
    """`held` or `sold`."""
    since: datetime
    expires_at: datetime | None
    """The deadline of what is held."""
    buyer_id: UUID | None = None
    """None: the order is not in the log."""
    buyer_name: str | None = None
    """As it is now; None when the account was erased."""


@dataclass(slots=True)
class Ownership:
    """Everything about one moment. Memory: an entry for each order that held or owned units then."""

    ticket: Ticket
    at: datetime
    shares: dict[UUID, Share] = field(default_factory=dict)
    """By order, in the order in which they came to their units."""

    @property
    def lapsed(self) -> int:
        """Held units whose deadline had passed, so that anybody could have taken them."""
        return sum(
            share.quantity
            for share in self.shares.values()
            if share.expires_at is not None and share.expires_at <= self.at
        )


def rebuild(steps: Iterable[Step], at: datetime) -> Ownership:
    """Folds a listing's steps up to a moment.

    Raises:
        DamagedLogError: units come back from an order that had none.
    """
    shares: dict[UUID, Share] = {}
    ticket: Ticket | None = None
    for step in steps:
        ticket = step.state
        _apply(shares, step.event)
    assert ticket is not None, "an aggregate has a first event"
    return Ownership(ticket, at, shares)


def find_buyers(connection: psycopg.Connection[Any], settings: Settings, ownership: Ownership) -> None:
    """Fills in the buyers from the orders' first events, and the names that their accounts have today.

    Raises:
        DamagedLogError: an order cannot be read.
        SettingsError: names cannot be read without the right house key.
    """
    for shares in _batches(ownership.shares.values()):
        by_order = {share.order_id: share for share in shares}
        for stored_name, state, position in connection.execute(_FIRST_EVENTS, (list(by_order),)):
            event = read_event(stored_name, state, position)
            if isinstance(event, Order.Created):
                by_order[event.originator_id].buyer_id = event.buyer_id
        names = read_names(connection, settings, [share.buyer_id for share in shares])
        for share in shares:
            share.buyer_name = None if share.buyer_id is None else names.get(share.buyer_id)


def _apply(shares: dict[UUID, Share], event: PublishedEvent) -> None:
    match event.data:
        case TicketReserved(order_id=order_id, quantity=quantity, expires_at=expires_at):
            shares[order_id] = Share(order_id, quantity, HELD, event.time, expires_at)
        case TicketReleased(order_id=order_id):
            del shares[order_id]
        case TicketSold(order_id=order_id, quantity=quantity):
            del shares[order_id]  # so that it comes behind what was sold before
            shares[order_id] = Share(order_id, quantity, SOLD, event.time, None)
        case TicketReturned(order_id=order_id, quantity=quantity):
            if order_id not in shares:
                raise DamagedLogError(event.position, event.type, LookupError(f"order {order_id} had no units"))
            shares[order_id].quantity -= quantity
            if shares[order_id].quantity <= 0:
                del shares[order_id]


def _batches(shares: Iterable[Share]) -> Iterator[list[Share]]:
    waiting = iter(shares)
    while batch := list(islice(waiting, BATCH)):
        yield batch

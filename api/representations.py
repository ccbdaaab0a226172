"""The JSON of a listing and of an order: one shape, whether from the aggregate or from a read model's row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import UNSET
from msgspec.structs import asdict

from api import models
from domain.errors import Invalid
from domain.listing import EventDetails, Listing
from domain.money import Money
from domain.order import Item, Order
from domain.payouts import Refund, Share
from domain.published import PublishedEvent
from domain.ticket import Ticket
from projections.queries import OrderRow, TicketRow

FIRST_YEAR, LAST_YEAR = 1900, 2999
"""Of an event, and until when its tickets are given back. It may be over: what is imported can be a house's history."""


def ticket(source: Ticket | TicketRow) -> models.Ticket:
    """One listing."""
    created_at, updated_at = _times(source)
    listing = source.listing
    return models.Ticket(
        id=source.id,
        version=source.version,
        seller_id=source.seller_id,
        title=listing.title,
        event=_event(listing.event),
        price=_money(listing.price),
        quantity=listing.quantity,
        description=listing.description,
        hold_seconds=listing.hold_seconds,
        refund_until=listing.refund_until,
        refund_fee=listing.refund_fee,
        resell_returned=listing.resell_returned,
        available=source.available,
        held=source.held,
        sold=source.sold,
        status=source.status,  # type: ignore[arg-type]  # the domain has these three
        created_at=created_at,
        updated_at=updated_at,
    )


def order(source: Order | OrderRow) -> models.Order:
    """One order."""
    created_at, updated_at = _times(source)
    return models.Order(
        id=source.id,
        version=source.version,
        buyer_id=source.buyer_id,
        status=source.status,  # type: ignore[arg-type]  # the domain has these six
        items=[_item(item) for item in source.items],
        total=_money(source.total),
        created_at=created_at,
        updated_at=updated_at,
        expires_at=source.expires_at,
        payment_intent_id=source.payment_intent_id,
        charge_id=source.charge_id,
        refund_id=source.refund_id,
        refunds=[_refund(refund) for refund in source.refunds],
    )


def sellers_order(source: Order, seller_id: UUID) -> models.SellersOrder:
    """A completed order as one of its sellers may see it, and no more of it."""
    sold = [
        (item, share) for item, share in zip(source.items, source.shares, strict=True) if item.seller_id == seller_id
    ]
    items = [_sold_item(item, share) for item, share in sold]
    currency = source.total.currency
    return models.SellersOrder(
        id=source.id,
        version=source.version,
        status="completed" if any(item.kept for item, _ in sold) else "refunded",
        items=items,
        total=models.Money(sum(item.price.amount * item.quantity for item, _ in sold), currency),
        given_back=models.Money(sum(item.given_back.amount for item in items), currency),
        created_at=source.created_on,
        updated_at=source.modified_on,
    )


def history_item(event: PublishedEvent) -> models.HistoryItem:
    """One event of a history; `data` is the payload that is published."""
    return models.HistoryItem(
        type=event.type,
        position=event.position,
        sequence=event.sequence,
        time=event.time,
        actor=event.cause.actor,
        correlation_id=event.cause.correlation_id,
        causation_id=event.cause.command_id,
        data=event.data,  # type: ignore[arg-type]  # a dataclass, which is written as an object
    )


def new_listing(body: models.NewTicket) -> Listing:
    """The offer a client describes. Raises `Invalid`."""
    event = body.event
    return Listing(
        title=body.title,
        event=EventDetails(
            event.name, _utc("event.starts_at", event.starts_at), event.venue, event.promoter, event.category
        ),
        price=Money(body.price.amount, body.price.currency),
        quantity=body.quantity,
        description=body.description,
        hold_seconds=body.hold_seconds,
        refund_until=None if body.refund_until is None else _utc("refund_until", body.refund_until),
        refund_fee=body.refund_fee,
        resell_returned=body.resell_returned,
    )


def listing_change(body: models.TicketChanges) -> Callable[[Listing], Listing]:
    """What a client wants changed, as a function on the offer there is. Raises `Invalid`."""
    changes, event_changes = _given(body), {}
    if isinstance(body.event, models.EventChanges):
        del changes["event"]
        event_changes = _given(body.event)
        if isinstance(body.event.starts_at, datetime):
            event_changes["starts_at"] = _utc("event.starts_at", body.event.starts_at)
    if isinstance(body.price, models.Price):
        changes["price"] = Money(body.price.amount, body.price.currency)
    if isinstance(body.refund_until, datetime):
        changes["refund_until"] = _utc("refund_until", body.refund_until)
    return lambda listing: replace(listing, event=replace(listing.event, **event_changes), **changes)


def _given(body: models.Model) -> dict[str, Any]:
    return {name: value for name, value in asdict(body).items() if value is not UNSET}


def _utc(field: str, moment: datetime) -> datetime:
    # As the client wrote it: in UTC it is off by a day at most, and an offset may lead out of the calendar.
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise Invalid(field, f"expected a time of the years {FIRST_YEAR} to {LAST_YEAR}")
    return moment.astimezone(UTC)


def _times(source: Ticket | Order | TicketRow | OrderRow) -> tuple[datetime, datetime]:
    if isinstance(source, Ticket | Order):
        return source.created_on, source.modified_on
    return source.created_at, source.updated_at


def _event(event: EventDetails) -> models.Event:
    return models.Event(event.name, event.starts_at, event.venue, event.promoter, event.category)


def _money(money: Money) -> models.Money:
    return models.Money(money.amount, money.currency)


def _item(item: Item) -> models.OrderItem:
    return models.OrderItem(
        item.ticket_id,
        item.title,
        item.quantity,
        _money(item.price),
        item.refunded,
        item.refund_until,
        item.refund_fee,
    )


def _sold_item(item: Item, share: Share) -> models.SoldItem:
    given_back = models.Money(item.price.amount * item.quantity - share.gross, item.price.currency)
    return models.SoldItem(**asdict(_item(item)), given_back=given_back)


def _refund(refund: Refund) -> models.OrderRefund:
    return models.OrderRefund(
        refund.number,
        _money(refund.money),
        refund.reason,  # type: ignore[arg-type]  # the domain has these
        refund.status,  # type: ignore[arg-type]  # and these three
        refund.refund_id,
    )

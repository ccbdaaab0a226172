"""The read model `ticket_listing`: every listing as it is offered now, and how many of its units are left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Any

from domain.listing import Listing
from domain.published import (
    TICKETS,
    PublishedEvent,
    TicketCreated,
    TicketReleased,
    TicketReserved,
    TicketReturned,
    TicketSold,
    TicketUpdated,
    TicketWithdrawn,
)
from projections.projection import Columns, Projection, optional_text, text
from projections.search import listing_terms, sort_key


def project(event: PublishedEvent) -> Columns:
    """The columns an event of a listing sets."""
    columns = _HANDLERS[type(event.data)](event.data)
    columns["updated_at"] = event.time
    if isinstance(event.data, TicketCreated):
        columns["created_at"] = event.time
    return columns


def _created(data: TicketCreated) -> Columns:
    return {"seller_id": data.seller_id, "withdrawn": False, **_counts(data), **_offer(data.listing)}


def _updated(data: TicketUpdated) -> Columns:
    return {**_counts(data), **_offer(data.listing)}


def _withdrawn(_data: TicketWithdrawn) -> Columns:
    return {"withdrawn": True}


def _counts(
    data: TicketCreated | TicketUpdated | TicketReserved | TicketReleased | TicketSold | TicketReturned,
) -> Columns:
    return {"available": data.available, "held": data.held, "sold": data.sold}


def _offer(listing: Listing) -> Columns:
    return {
        "title": text(listing.title),
        "event_name": text(listing.event.name),
        # In UTC here: a time that UTC cannot express would be stored, and break every page that shows it.
        "starts_at": listing.event.starts_at.astimezone(UTC),
        "venue": text(listing.event.venue),
        "promoter": optional_text(listing.event.promoter),
        "category": optional_text(listing.event.category),
        "amount": listing.price.amount,
        "currency": listing.price.currency,
        "quantity": listing.quantity,
        "description": optional_text(listing.description),
        "hold_seconds": listing.hold_seconds,
        "refund_until": None if listing.refund_until is None else listing.refund_until.astimezone(UTC),
        "refund_fee": listing.refund_fee,
        "resell_returned": listing.resell_returned,
        "title_key": sort_key(listing.title),
        "terms": listing_terms(listing),
    }


_HANDLERS: dict[type, Callable[[Any], Columns]] = {
    TicketCreated: _created,
    TicketUpdated: _updated,
    TicketWithdrawn: _withdrawn,
    TicketReserved: _counts,
    TicketReleased: _counts,
    TicketSold: _counts,
    TicketReturned: _counts,
}

TICKET_LISTING = Projection(
    model="ticket_listing",
    topic=TICKETS,
    columns={
        "seller_id": "uuid",
        "title": "text",
        "event_name": "text",
        "starts_at": "timestamptz",
        "venue": "text",
        "promoter": "text",
        "category": "text",
        "amount": "bigint",
        "currency": "text",
        "quantity": "integer",
        "description": "text",
        "hold_seconds": "integer",
        "refund_until": "timestamptz",
        "refund_fee": "bigint",
        "resell_returned": "boolean",
        "available": "integer",
        "held": "integer",
        "sold": "integer",
        "withdrawn": "boolean",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "title_key": "text",
        "terms": "text",
    },
    project=project,
)

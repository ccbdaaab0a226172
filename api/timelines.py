"""What happened to an order and to its tickets, out of the log, as the house or one of its sellers may see it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any
from uuid import UUID

from adapters.event_log import EventLog
from domain.order import Order
from domain.published import PublishedEvent
from domain.published_money import OrderRefunded

MOST_EVENTS = 1_000
"""Of the order, and of each of its listings: an order with all its refunds, each tried to the end, has fewer."""

CLOCK_SLACK = timedelta(minutes=1)
"""A listing's last event may bear a later time than the order's own, when the clock was set back before it."""


async def timeline(log: EventLog, order: Order, seller_id: UUID | None) -> list[PublishedEvent]:
    """In the order of the log.

    Args:
        seller_id: whose parts are shown; None: everybody's.
    """
    events = await log.history(order.id, limit=MOST_EVENTS)
    for item in order.items:
        if seller_id in (None, item.seller_id):
            until = order.modified_on + CLOCK_SLACK
            events += await log.naming(item.ticket_id, order.id, order.created_on, until, limit=MOST_EVENTS)
    shown = events
    if seller_id is not None:
        theirs = {item.ticket_id for item in order.items if item.seller_id == seller_id}
        of_theirs = [event for event in events if getattr(event.data, "ticket_id", None) in (None, *theirs)]
        shown = [seen for event in of_theirs if (seen := _sellers(event, seller_id))]
    return sorted(shown, key=lambda event: event.position)


def _sellers(event: PublishedEvent, seller_id: UUID) -> PublishedEvent | None:
    """The event without what belongs to other sellers; None when nothing else is told by it."""
    data: Any = event.data
    if getattr(data, "seller_id", seller_id) != seller_id:
        return None
    parts = {
        field.name: tuple(part for part in value if part.seller_id == seller_id)
        for field in dataclasses.fields(data)
        if isinstance(value := getattr(data, field.name), tuple) and value and hasattr(value[0], "seller_id")
    }
    if isinstance(data, OrderRefunded) and data.taken_back and not parts["taken_back"]:
        return None
    return event._replace(data=dataclasses.replace(data, **parts))

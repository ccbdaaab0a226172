"""Disputes of an order, with what answers them: for its sellers and for the house, not for the buyer."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from api import dispute_models, evidence, models, representations
from api.answers import respond
from api.auth import Principal
from api.calls import Call
from api.services import Services
from api.timelines import timeline
from domain.errors import OrderNotFound
from domain.order import Item, Order
from domain.published import ORDERS, PublishedEvent
from domain.ticket import Ticket


async def of_order(call: Call) -> web.Response:
    """GET /api/orders/{order_id}/disputes"""
    order_id, reader = call.path_id("order_id"), call.user
    order = _shown_to(reader, await call.services.log.aggregate(Order, order_id))
    if order is None:
        raise OrderNotFound(f"there is no order {order_id}")
    disputes = []
    if order.disputes:
        call.services.limits.check_disputes(reader.user_id)
        disputes = await _disputes(call.services, order, None if reader.is_admin else reader.user_id)
    return respond(dispute_models.DisputePage(disputes, None))


def _shown_to(reader: Principal, found: Order | None) -> Order | None:
    """The order, if the reader sells a ticket of it or is an administrator."""
    if found is None or not (reader.is_admin or any(item.seller_id == reader.user_id for item in found.items)):
        return None
    return found


async def _disputes(services: Services, order: Order, seller_id: UUID | None) -> list[dispute_models.Dispute]:
    items = [item for item in order.items if seller_id in (None, item.seller_id)]
    events = await timeline(services.log, order, seller_id)
    shown = [_timeline_item(event) for event in events]
    happenings = {item.ticket_id: (await _as_ordered(services, order, item)).listing.event for item in items}
    of_order = [event for event in events if event.topic == ORDERS]
    return [
        dispute_models.Dispute(
            dispute_id=dispute.dispute_id,
            status=dispute.status,
            reason=dispute.reason,
            amount=models.Money(dispute.money.amount, dispute.money.currency),
            evidence_due_by=dispute.evidence_due_by,
            timeline=shown,
            evidence=dispute_models.Evidence(evidence.text(order, items, of_order, happenings, dispute)),
        )
        for dispute in order.disputes
    ]


async def _as_ordered(services: Services, order: Order, item: Item) -> Ticket:
    """The listing as it was then: what it is for may have been edited since."""
    ticket = await services.log.aggregate(Ticket, item.ticket_id, as_of=order.created_on)
    assert ticket is not None, "an order is of listings that there are"
    return ticket


def _timeline_item(event: PublishedEvent) -> dispute_models.TimelineItem:
    item = representations.history_item(event)
    return dispute_models.TimelineItem(
        item.type, item.position, item.sequence, item.time, item.actor, item.correlation_id, item.causation_id,
        item.data, event.subject,
    )  # fmt: skip

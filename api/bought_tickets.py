"""The tickets of an order that was paid: each with the code that lets its bearer in."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from adapters.ticket_codes import TicketCode
from api import models, reads
from api.answers import REVALIDATE, respond
from api.calls import Call
from domain.errors import OrderNotFound
from domain.order import COMPLETED, Order


async def of_order(call: Call) -> web.Response:
    """GET /api/orders/{order_id}/tickets: none as long as it is not paid, nor of what was refunded."""
    order_id = call.path_id("order_id")
    # From the log: who has just paid gets in, and who was just refunded does not, also while Kafka is away.
    order = await call.services.log.aggregate(Order, order_id)
    if order is None or (order.buyer_id != call.user.user_id and not call.user.is_admin):
        raise OrderNotFound(f"there is no order {order_id}")
    if order.buyer_id != call.user.user_id or order.status != COMPLETED:
        return respond(models.BoughtTickets([]))
    listings = {one.id: one for one in await reads.tickets(call.services, [item.ticket_id for item in order.items])}
    items = [
        _ticket(call, order.id, listings[item.ticket_id], number, item.kept)
        for item in order.items
        for number in range(1, item.kept + 1)
    ]
    return respond(models.BoughtTickets(items))


async def keys(call: Call) -> web.Response:
    """GET /.well-known/stagedoor-tickets.json: what a door verifies codes with, once it has fetched it."""
    return respond(call.services.ticket_codes.jwks(), cache=REVALIDATE)


def _ticket(call: Call, order_id: UUID, listing: models.Ticket, number: int, of: int) -> models.BoughtTicket:
    code = call.services.ticket_codes.sign(TicketCode(order_id, listing.id, number))
    return models.BoughtTicket(listing.id, listing.title, listing.event, number, of, code)

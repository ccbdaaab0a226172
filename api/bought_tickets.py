"""The tickets of an order that was paid: each with the code that lets its bearer in."""

from __future__ import annotations

from aiohttp import web

from adapters.short_codes import Place
from adapters.ticket_codes import TicketCode
from api import models, reads
from api.answers import REVALIDATE, respond
from api.calls import Call
from api.services import Services
from domain.check_in import unused, used
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
    position = await call.services.log.begun(order_id)
    items = [
        _ticket(call.services, order, Place(position, place, number), listings[item.ticket_id])
        for place, item in enumerate(order.items)
        for number in sorted([*used(order, item.ticket_id), *unused(order, item)])
    ]
    return respond(models.BoughtTickets(items))


async def keys(call: Call) -> web.Response:
    """GET /.well-known/stagedoor-tickets.json: what a door verifies codes with, once it has fetched it."""
    return respond(call.services.ticket_codes.jwks(), cache=REVALIDATE)


def _ticket(services: Services, order: Order, place: Place, listing: models.Ticket) -> models.BoughtTicket:
    known = used(order, listing.id).get(place.number)
    return models.BoughtTicket(
        ticket_id=listing.id,
        title=listing.title,
        event=listing.event,
        number=place.number,
        of=order.items[place.item].quantity,
        code=services.ticket_codes.sign(TicketCode(order.id, listing.id, place.number)),
        short_code=services.short_codes.make(place),
        checked_in=None if known is None else models.CheckedIn(known.at, known.gate),
    )

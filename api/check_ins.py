"""At the door: a ticket's code is shown, and lets one person in, once (`Marketplace.check_in`)."""

from __future__ import annotations

from aiohttp import web

from adapters.short_codes import Place
from adapters.ticket_codes import NotATicket, TicketCode, verified
from api import check_in_models, models, reads
from api.answers import Answer, answer
from api.calls import Call
from api.problems import Refused
from api.services import Services
from domain.check_in import used
from domain.errors import OrderNotFound
from domain.order import Order


async def check_in(call: Call, body: check_in_models.NewCheckIn) -> web.Response:
    """POST /api/check-ins: the same request again, under its key, is the same check-in and no second one."""
    by = call.user
    code = await _read(call.services, body.code)
    listings = await reads.tickets(call.services, [code.ticket_id])
    if not listings:
        raise OrderNotFound(f"there is no order {code.order_id}")
    (listing,) = listings
    done = await call.services.marketplace.check_in(
        code.order_id,
        code.ticket_id,
        code.number,
        by.user_id,
        call.ask(lambda order: _let_in(order, listing, code.number)),
        gate=body.gate,
        admin=by.is_admin,
        only=body.ticket_ids,
    )
    return done.response()


async def _read(services: Services, text: str) -> TicketCode:
    """The ticket that a code is of. Raises `Refused` (400) where it is no code of this house."""
    text = text.strip().upper()
    try:
        if "." in text:
            return verified(text, services.ticket_codes.public)
        return await _find(services, services.short_codes.read(text))
    except NotATicket as error:
        raise Refused("bad_ticket_code", str(error)) from error


async def _find(services: Services, place: Place) -> TicketCode:
    order_id = await services.log.begun_at(place.position)
    order = None if order_id is None else await services.log.aggregate(Order, order_id)
    if order is None or place.item >= len(order.items):
        raise NotATicket("it is of an order that is not in the log")
    return TicketCode(order.id, order.items[place.item].ticket_id, place.number)


def _let_in(order: Order, listing: models.Ticket, number: int) -> Answer:
    known = used(order, listing.id)[number]
    (of,) = (item.quantity for item in order.items if item.ticket_id == listing.id)
    checked_in = models.CheckedIn(known.at, known.gate)
    return answer(
        201, check_in_models.CheckIn(order.id, listing.id, listing.title, listing.event, number, of, checked_in)
    )

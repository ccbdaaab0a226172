"""Listings: offer, search, read, edit, withdraw."""

from __future__ import annotations

from aiohttp import web

from api import models, query_models, reads, representations
from api.answers import NO_CONTENT, REVALIDATE, Answer, answer
from api.calls import Call
from api.conditions import expected_version
from api.ids import new_id
from api.problems import invalid
from api.ticket_pages import TicketSearch
from domain.ticket import Ticket
from projections.queries import BadCursor, TicketFilter


async def offer(call: Call, body: models.NewTicket) -> web.Response:
    """POST /api/tickets"""
    listing = representations.new_listing(body)
    made = await call.services.marketplace.offer(new_id(), call.user.user_id, listing, call.ask(_made))
    return made.response()


async def search(call: Call, query: query_models.TicketQuery) -> web.Response:
    """GET /api/tickets"""
    wanted = TicketFilter(
        q=query.q,
        category=query.category,
        venue=query.venue,
        promoter=query.promoter,
        starts_from=query.starts_from,
        starts_to=query.starts_to,
        min_price=query.min_price,
        max_price=query.max_price,
        currency=query.currency,
        seller_id=query.seller,
        available=query.available,
    )
    return await _page(call, wanted, query.sort, query)


async def of_seller(call: Call, query: query_models.PageQuery) -> web.Response:
    """GET /api/users/{user_id}/tickets: a seller nobody has heard of has none."""
    return await _page(call, TicketFilter(seller_id=call.path_id("user_id")), "-created_at", query)


async def read(call: Call, query: query_models.OneQuery) -> web.Response:
    """GET /api/tickets/{ticket_id}"""
    one = await reads.ticket(call.services, call.path_id("ticket_id"), query)
    return reads.shown(call.request, one, public=True)


async def edit(call: Call, body: models.TicketChanges) -> web.Response:
    """PATCH /api/tickets/{ticket_id}"""
    change = representations.listing_change(body)
    edited = await call.services.marketplace.edit(
        call.path_id("ticket_id"), call.user.user_id, change, expected_version(call.request), call.command(_now)
    )
    return edited.response()


async def withdraw(call: Call) -> web.Response:
    """DELETE /api/tickets/{ticket_id}"""
    withdrawn = await call.services.marketplace.withdraw(
        call.path_id("ticket_id"), call.user.user_id, expected_version(call.request), call.command(lambda _: NO_CONTENT)
    )
    return withdrawn.response()


async def _page(call: Call, wanted: TicketFilter, sort: str, page: query_models.PageQuery) -> web.Response:
    try:
        found = await call.services.pages.read(TicketSearch(wanted, sort, page.limit, page.cursor))
    except BadCursor as error:
        raise invalid("cursor", str(error)) from error
    assert found is not None, "a page that has nothing on it is a page"
    return found.response(REVALIDATE)


def _made(ticket: Ticket) -> Answer:
    return answer(201, representations.ticket(ticket), ticket.version, f"/api/tickets/{ticket.id}")


def _now(ticket: Ticket) -> Answer:
    return answer(200, representations.ticket(ticket), ticket.version)

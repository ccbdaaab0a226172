"""Histories: every event of a listing or an order, with position, time, actor and cause, oldest first."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from api import models, query_models, reads, representations
from api.answers import respond
from api.calls import Call
from api.problems import invalid
from domain.errors import NotOwner
from projections.cursor import BadCursor, decode_cursor, encode_cursor

_SORT = "history"


async def of_ticket(call: Call, query: query_models.PageQuery) -> web.Response:
    """GET /api/tickets/{ticket_id}/history: for its seller; that the listing exists is known to everybody."""
    ticket_id = call.path_id("ticket_id")
    ticket = await reads.ticket(call.services, ticket_id)
    if ticket.seller_id != call.user.user_id and not call.user.is_admin:
        raise NotOwner("only its seller sees a listing's history")
    return await _page(call, ticket_id, query)


async def of_order(call: Call, query: query_models.PageQuery) -> web.Response:
    """GET /api/orders/{order_id}/history: for its buyer."""
    order_id = call.path_id("order_id")
    await reads.order(call.services, order_id, call.user)
    return await _page(call, order_id, query)


async def _page(call: Call, aggregate_id: UUID, query: query_models.PageQuery) -> web.Response:
    after_version = 0
    if query.cursor is not None:
        try:
            after_version, made_for = decode_cursor(query.cursor, _SORT, int)
        except BadCursor as error:
            raise invalid("cursor", str(error)) from error
        if made_for != aggregate_id:
            raise invalid("cursor", "not a cursor of this list")
    events = await call.services.log.history(aggregate_id, after_version=after_version, limit=query.limit + 1)
    page = events[: query.limit]
    more = len(events) > query.limit
    next_cursor = encode_cursor(_SORT, page[-1].sequence, aggregate_id) if more else None
    return respond(models.HistoryPage([representations.history_item(event) for event in page], next_cursor))

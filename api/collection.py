"""The collection: tickets of interest, a person's own list, newest first."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from adapters.collection import MAX_COLLECTED
from api import models, query_models, reads
from api.answers import NO_CONTENT, Answer, answer, respond
from api.calls import Call
from api.problems import Refused, invalid
from domain.marketplace import Ask
from projections.cursor import BadCursor, decode_cursor, encode_cursor

_SORT = "collection"


async def add(call: Call, body: models.NewCollected) -> web.Response:
    """POST /api/collection: adding a ticket again changes nothing, so that any repetition has the one effect."""
    user_id = call.user.user_id
    await reads.ticket(call.services, body.ticket_id)
    made = given = answer(201, models.Collected(body.ticket_id))
    ask: Ask[None, Answer] = call.ask(lambda _: made)
    if ask.once is not None:
        # A command without an event: it takes the key, so that the key is good for nothing else.
        given = await call.services.actors.tell([user_id], lambda _: made, ask.cause, ask.once)
    if not await call.services.collection.add(user_id, body.ticket_id):
        raise Refused("collection_full", f"a collection holds {MAX_COLLECTED} tickets")
    return given.response()


async def read(call: Call, query: query_models.PageQuery) -> web.Response:
    """GET /api/collection"""
    try:
        before = None if query.cursor is None else decode_cursor(query.cursor, _SORT, datetime)
    except BadCursor as error:
        raise invalid("cursor", str(error)) from error
    found = await call.services.collection.page(call.user.user_id, before=before, limit=query.limit + 1)
    page = found[: query.limit]
    more = len(found) > query.limit
    next_cursor = encode_cursor(_SORT, page[-1][1], page[-1][0]) if more else None
    items = await reads.tickets(call.services, [ticket_id for ticket_id, _ in page])
    return respond(models.TicketPage(items, next_cursor))


async def remove(call: Call) -> web.Response:
    """DELETE /api/collection/{ticket_id}: one that is not there changes nothing."""
    await call.services.collection.remove(call.user.user_id, call.path_id("ticket_id"))
    return NO_CONTENT.response()

"""Everything there is about a person, as one JSON document (the right of access and of data portability).

It is made while it is sent, a page at a time, so it takes the same memory however much there is. Listings and orders
come from the read models, events from the log up to where it ended when the export began. Whatever fails on the way
cuts the connection: a document that is whole JSON is complete.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from aiohttp import web

from api import models, representations
from api.answers import JSON, PRIVATE
from api.calls import Call
from api.services import Services
from api.users import own_account
from domain.records import Account
from domain.user import User
from projections.queries import OrderRow, TicketFilter, TicketRow
from projections.rows import Page

PAGE = 100
EVENTS_PAGE = 1_000
"""Events of some hundred bytes each, read in a few milliseconds."""

R = TypeVar("R", TicketRow, OrderRow)

_encode = msgspec.json.Encoder().encode


async def export(call: Call) -> web.Response:
    """GET /api/users/currentuser/export"""
    services = call.services
    account = await own_account(call)
    services.limits.check_export(account.user_id)
    user = await services.log.aggregate(User, account.user_id)
    assert user is not None, "the account's first event made it"
    headers = {
        "Content-Type": JSON,
        "Content-Disposition": 'attachment; filename="stagedoor-export.json"',
        "Cache-Control": PRIVATE,
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(body=_document(services, account, user, await services.log.end()), headers=headers)


async def _document(services: Services, account: Account, user: User, end: int) -> AsyncIterator[bytes]:
    """`models.Export`, piece by piece."""
    about = models.ExportedAccount(user.id, account.email, account.name, user.created_on, is_admin=user.admin)
    yield b'{"exported_at":' + _encode(datetime.now(UTC)) + b',"log_position":' + _encode(end)
    yield b',"account":' + _encode(about)
    for name, pieces in (
        (b"history", _events(services, user.id, end)),
        (b"sessions", _sessions(services, user.id)),
        (b"collection", _collection(services, user.id)),
        (b"listings", _listings(services, user.id, end)),
        (b"orders", _orders(services, user.id, end)),
    ):
        yield b',"' + name + b'":['
        async for piece in pieces:
            yield piece
        yield b"]"
    yield b"}"


# The inside of each list. Pages move on from the newest to the oldest, so that what is made meanwhile adds none.


async def _sessions(services: Services, user_id: UUID) -> AsyncIterator[bytes]:
    before, comma = None, b""
    while page := await services.accounts.sessions(user_id, before=before, limit=PAGE):
        yield comma + _joined([models.ExportedSession(began, expires, ended) for _, began, expires, ended in page])
        before, comma = (page[-1][1], page[-1][0]), b","


async def _collection(services: Services, user_id: UUID) -> AsyncIterator[bytes]:
    before, comma = None, b""
    while page := await services.collection.page(user_id, before=before, limit=PAGE):
        yield comma + _joined([models.ExportedCollected(ticket_id, added_at) for ticket_id, added_at in page])
        before, comma = (page[-1][1], page[-1][0]), b","


async def _listings(services: Services, user_id: UUID, end: int) -> AsyncIterator[bytes]:
    async def page(cursor: str | None) -> Page[TicketRow]:
        return await services.queries.tickets(TicketFilter(seller_id=user_id), "-created_at", PAGE, cursor)

    async for piece in _with_histories(services, "ticket", page, representations.ticket, end):
        yield piece


async def _orders(services: Services, user_id: UUID, end: int) -> AsyncIterator[bytes]:
    async def page(cursor: str | None) -> Page[OrderRow]:
        return await services.queries.orders(user_id, limit=PAGE, cursor=cursor)

    async for piece in _with_histories(services, "order", page, representations.order, end):
        yield piece


async def _with_histories(
    services: Services,
    name: str,
    read: Callable[[str | None], Awaitable[Page[R]]],
    shown: Callable[[R], Any],
    end: int,
) -> AsyncIterator[bytes]:
    """Everything of one kind, page by page, each under its name and with its events."""
    cursor, comma = None, b""
    while True:
        page = await read(cursor)
        for row in page.items:
            yield comma + b'{"%s":' % name.encode() + _encode(shown(row)) + b',"history":['
            async for piece in _events(services, row.id, end):
                yield piece
            yield b"]}"
            comma = b","
        cursor = page.next_cursor
        if cursor is None:
            return


async def _events(services: Services, aggregate_id: UUID, end: int) -> AsyncIterator[bytes]:
    """What happened to one thing, the oldest first, up to a position of the log: others may go on appending."""
    version, comma = 0, b""
    while True:
        page = await services.log.history(aggregate_id, after_version=version, limit=EVENTS_PAGE)
        events = [event for event in page if event.position <= end]
        if events:
            yield comma + _joined([representations.history_item(event) for event in events])
            version, comma = events[-1].sequence, b","
        if len(events) < EVENTS_PAGE:
            return


def _joined(items: Sequence[Any]) -> bytes:
    return b",".join(map(_encode, items))

"""Reads one listing or order: from its read model, or from the log where that is behind or does not know it yet.

So nothing that was just made is denied, even with Kafka down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar
from uuid import UUID

from aiohttp import web

from api import models, query_models, representations
from api.answers import PRIVATE, REVALIDATE, Answer, respond
from api.auth import Principal
from api.conditions import is_known
from api.load import Load
from api.services import Services
from domain.errors import OrderNotFound, TicketNotFound
from domain.order import Order
from domain.ticket import Ticket
from projections.queries import OrderRow, TicketRow

MIN_VERSION_SECONDS, POLL_SECONDS = 2.0, 0.02
"""How long a reader waits for the read model, and how often it looks; the model is usually behind by some 20 ms."""


class Versioned(Protocol):
    """A row or an aggregate."""

    @property
    def version(self) -> int: ...


V = TypeVar("V", bound=Versioned)
W = TypeVar("W", bound=Versioned)
AnOrder = TypeVar("AnOrder", Order, OrderRow)

NOW = query_models.OneQuery()


async def ticket(services: Services, ticket_id: UUID, query: query_models.OneQuery = NOW) -> models.Ticket:
    """One listing, now or at a moment. Raises `TicketNotFound`."""
    found: Ticket | TicketRow | None
    if query.as_of is not None:
        found = await services.log.aggregate(Ticket, ticket_id, as_of=query.as_of)
    else:
        found = await _newest(
            services.version_waits,
            lambda: services.listings.read(ticket_id),
            lambda: services.log.aggregate(Ticket, ticket_id),
            query.min_version,
        )
    if found is None:
        raise TicketNotFound(f"there is no ticket {ticket_id}")
    return representations.ticket(found)


async def tickets(services: Services, ids: list[UUID]) -> list[models.Ticket]:
    """The listings of these ids that exist, in this order; a handful at most is not in the read model yet."""
    rows = {row.id: row for row in await services.queries.tickets_by_id(ids)}
    found = [rows.get(ticket_id) or await services.log.aggregate(Ticket, ticket_id) for ticket_id in ids]
    return [representations.ticket(one) for one in found if one is not None]


async def order(
    services: Services, order_id: UUID, reader: Principal, query: query_models.OneQuery = NOW
) -> models.Order:
    """One order, now or at a moment, for its buyer or an administrator. Raises `OrderNotFound`, to others too."""
    found: Order | OrderRow | None
    if query.as_of is not None:
        found = _shown_to(reader, await services.log.aggregate(Order, order_id, as_of=query.as_of))
    else:
        # Somebody else's is looked for, and waited for, exactly as one that does not exist: the time tells nothing.
        async def row() -> OrderRow | None:
            return _shown_to(reader, await services.queries.order(order_id))

        async def aggregate() -> Order | None:
            return _shown_to(reader, await services.log.aggregate(Order, order_id))

        found = await _newest(services.version_waits, row, aggregate, query.min_version)
    if found is None:
        raise OrderNotFound(f"there is no order {order_id}")
    return representations.order(found)


def _shown_to(reader: Principal, found: AnOrder | None) -> AnOrder | None:
    """The order, if it is the reader's or the reader is an administrator."""
    return None if found is None or (found.buyer_id != reader.user_id and not reader.is_admin) else found


def shown(request: web.Request, one: models.Ticket | models.Order, *, public: bool) -> web.Response:
    """The response with one of them, or 304 if the client has this version."""
    cache = REVALIDATE if public else PRIVATE
    if is_known(request, one.version):
        return Answer(304, version=one.version).response(cache)
    return respond(one, one.version, cache)


async def _newest(
    waits: Load,
    row: Callable[[], Awaitable[V | None]],
    aggregate: Callable[[], Awaitable[W | None]],
    min_version: int | None,
) -> V | W | None:
    found = await row()
    if min_version is not None and _is_behind(found, min_version) and not waits.is_full:
        with waits:
            give_up_at = asyncio.get_running_loop().time() + MIN_VERSION_SECONDS
            while _is_behind(found, min_version) and asyncio.get_running_loop().time() < give_up_at:
                await asyncio.sleep(POLL_SECONDS)
                found = await row()
    return await aggregate() if _is_behind(found, min_version or 0) else found


def _is_behind(found: Versioned | None, min_version: int) -> bool:
    return found is None or found.version < min_version

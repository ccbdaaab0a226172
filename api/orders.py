"""Orders: place, list, read, cancel. Placing one is the hot path: it does as little as it can."""

from __future__ import annotations

from aiohttp import web

from api import models, query_models, reads, representations
from api.answers import Answer, answer, respond
from api.calls import Call
from api.ids import new_id
from api.problems import invalid
from domain.marketplace import Wanted
from domain.order import Order
from projections.queries import BadCursor


async def place(call: Call, body: models.NewOrder) -> web.Response:
    """POST /api/orders"""
    wanted = [Wanted(item.ticket_id, item.quantity) for item in body.items]
    call.services.limits.check_order(call.user.user_id, call.remote, (want.ticket_id for want in wanted))
    placed = await call.services.marketplace.place_order(new_id(), call.user.user_id, wanted, call.ask(_made))
    return placed.response()


async def of_buyer(call: Call, query: query_models.PageQuery) -> web.Response:
    """GET /api/orders: newest first."""
    try:
        found = await call.services.queries.orders(call.user.user_id, limit=query.limit, cursor=query.cursor)
    except BadCursor as error:
        raise invalid("cursor", str(error)) from error
    return respond(models.OrderPage([representations.order(row) for row in found.items], found.next_cursor))


async def read(call: Call, query: query_models.OneQuery) -> web.Response:
    """GET /api/orders/{order_id}"""
    one = await reads.order(call.services, call.path_id("order_id"), call.user, query)
    return reads.shown(call.request, one, public=False)


async def cancel(call: Call) -> web.Response:
    """DELETE /api/orders/{order_id}"""
    cancelled = await call.services.marketplace.cancel_order(
        call.path_id("order_id"), call.user.user_id, call.command(_now)
    )
    return cancelled.response()


def _made(order: Order) -> Answer:
    return answer(201, representations.order(order), order.version, f"/api/orders/{order.id}")


def _now(order: Order) -> Answer:
    return answer(200, representations.order(order), order.version)

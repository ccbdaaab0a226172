"""Refunds: who may give what back is the domain's (`Marketplace.refund_order`), who sees what of it is decided here."""

from __future__ import annotations

from aiohttp import web

from api import models, representations
from api.answers import Answer, answer
from api.auth import Principal
from api.calls import Call
from domain.marketplace import Wanted
from domain.order import Order


async def refund(call: Call, body: models.NewRefund) -> web.Response:
    """POST /api/orders/{order_id}/refund: Stripe moves the money soon after."""
    reader = call.user
    wanted = None if body.items is None else [Wanted(item.ticket_id, item.quantity) for item in body.items]
    refunded = await call.services.marketplace.refund_order(
        call.path_id("order_id"),
        reader.user_id,
        wanted,
        call.ask(lambda order: _shown(order, reader)),
        admin=reader.is_admin,
        resell=body.resell,
    )
    return refunded.response()


def _shown(order: Order, reader: Principal) -> Answer:
    """The whole order to whom `GET` shows it; anybody else sees what they sell of it."""
    whole = order.buyer_id == reader.user_id or reader.is_admin
    body = representations.order(order) if whole else representations.sellers_order(order, reader.user_id)
    return answer(200, body, order.version)

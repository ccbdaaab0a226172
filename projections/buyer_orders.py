"""The read model `buyer_orders`: every order as it stands, and with it the work that falls due on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from domain.order import AWAITING_PAYMENT, CANCELLED, COMPLETED, CREATED, EXPIRED, INTENT_CANCELED, REFUNDED
from domain.published import (
    ORDERS,
    ChargeCreated,
    ChargeFailed,
    OrderAwaitingPayment,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    OrderExpired,
    OrderRefunded,
    PublishedEvent,
    RefundCreated,
)
from projections.projection import Columns, Projection

_encode = msgspec.json.Encoder().encode


def project(event: PublishedEvent) -> Columns:
    """The columns an event of an order sets."""
    columns = _HANDLERS[type(event.data)](event.data)
    columns["updated_at"] = event.time
    if isinstance(event.data, OrderCreated):
        columns["created_at"] = event.time
    return columns


def _created(data: OrderCreated) -> Columns:
    return {
        "buyer_id": data.buyer_id,
        "status": CREATED,
        "items": _encode(data.items).decode(),
        "amount": data.total.amount,
        "currency": data.total.currency,
        "expires_at": data.expires_at,
        "intent_open": False,
        "payment_intent_id": None,
        "charge_id": None,
        "due_charge_id": None,
        "due_amount": None,
        "due_currency": None,
        "refunded_charge_id": None,
        "refund_id": None,
    }


def _awaiting_payment(data: OrderAwaitingPayment) -> Columns:
    return {"status": AWAITING_PAYMENT, "payment_intent_id": data.payment_intent_id, "intent_open": True}


def _charge_created(data: ChargeCreated) -> Columns:
    columns: Columns = {"charge_id": data.charge_id, "intent_open": False}
    if data.refund_due:
        columns |= {
            "due_charge_id": data.charge_id,
            "due_amount": data.money.amount,
            "due_currency": data.money.currency,
        }
    return columns


def _charge_failed(data: ChargeFailed) -> Columns:
    return {"intent_open": False} if data.code == INTENT_CANCELED else {}


def _refund_created(data: RefundCreated) -> Columns:
    return {"refund_id": data.refund_id, "refunded_charge_id": data.charge_id}


def _becomes(status: str) -> Callable[[Any], Columns]:
    return lambda _data: {"status": status}


_HANDLERS: dict[type, Callable[[Any], Columns]] = {
    OrderCreated: _created,
    OrderAwaitingPayment: _awaiting_payment,
    ChargeCreated: _charge_created,
    ChargeFailed: _charge_failed,
    OrderCompleted: _becomes(COMPLETED),
    OrderCancelled: _becomes(CANCELLED),
    OrderExpired: _becomes(EXPIRED),
    OrderRefunded: _becomes(REFUNDED),
    RefundCreated: _refund_created,
}

BUYER_ORDERS = Projection(
    model="buyer_orders",
    topic=ORDERS,
    columns={
        "buyer_id": "uuid",
        "status": "text",
        "items": "json",
        "amount": "bigint",
        "currency": "text",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "expires_at": "timestamptz",
        "payment_intent_id": "text",
        "intent_open": "boolean",
        "charge_id": "text",
        "due_charge_id": "text",
        "due_amount": "bigint",
        "due_currency": "text",
        "refunded_charge_id": "text",
        "refund_id": "text",
    },
    project=project,
)

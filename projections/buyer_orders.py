"""The read model `buyer_orders`: every order as it stands, and with it the work that falls due on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from domain.order import AWAITING_PAYMENT, CANCELLED, COMPLETED, CREATED, EXPIRED, INTENT_CANCELED
from domain.published import (
    ORDERS,
    CheckInCreated,
    OrderAwaitingPayment,
    OrderCancelled,
    OrderCreated,
    OrderExpired,
    PublishedEvent,
)
from domain.published_money import (
    ChargeCreated,
    ChargeFailed,
    ChargeSettled,
    DisputeClosed,
    DisputeCreated,
    DisputeFundsReinstated,
    DisputeFundsWithdrawn,
    DisputeUpdated,
    OrderCompleted,
    OrderRefunded,
    RefundCreated,
    RefundFailed,
    TransferCreated,
    TransferDue,
    TransferReversalDue,
    TransferReversed,
)
from projections.ledger import LEDGER
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
        "unsettled_charge_id": None,
        "refunds": "[]",
        "moves_due": 0,
        "payout_at": None,
    }


def _awaiting_payment(data: OrderAwaitingPayment) -> Columns:
    return {"status": AWAITING_PAYMENT, "payment_intent_id": data.payment_intent_id, "intent_open": True}


def _charge_created(data: ChargeCreated) -> Columns:
    return {"charge_id": data.charge_id, "unsettled_charge_id": data.charge_id, "intent_open": False, **_refunds(data)}


def _charge_settled(_data: ChargeSettled) -> Columns:
    return {"unsettled_charge_id": None}


def _charge_failed(data: ChargeFailed) -> Columns:
    return {"intent_open": False} if data.code == INTENT_CANCELED else {}


def _completed(data: OrderCompleted) -> Columns:
    return {"status": COMPLETED, "payout_at": data.payout_at}


def _refunded(data: OrderRefunded) -> Columns:
    items = _encode(data.items).decode()
    return {"status": data.status, "items": items, "payout_at": data.payout_at, **_refunds(data)}


def _refunds(data: ChargeCreated | OrderRefunded | RefundCreated | RefundFailed | DisputeClosed) -> Columns:
    return {"refunds": _encode(data.refunds).decode(), "moves_due": data.moves_due}


def _transfer_due(data: TransferDue) -> Columns:
    return {"moves_due": data.moves_due, "payout_at": data.payout_at}


def _moved(data: TransferCreated | TransferReversalDue | TransferReversed) -> Columns:
    return {"moves_due": data.moves_due}


def _dispute_closed(data: DisputeClosed) -> Columns:
    return {"payout_at": data.payout_at, **_refunds(data)}


def _nothing(_data: object) -> Columns:
    return {}


def _becomes(status: str) -> Callable[[Any], Columns]:
    return lambda _data: {"status": status}


_HANDLERS: dict[type, Callable[[Any], Columns]] = {
    OrderCreated: _created,
    OrderAwaitingPayment: _awaiting_payment,
    ChargeCreated: _charge_created,
    ChargeFailed: _charge_failed,
    OrderCompleted: _completed,
    OrderCancelled: _becomes(CANCELLED),
    OrderExpired: _becomes(EXPIRED),
    OrderRefunded: _refunded,
    ChargeSettled: _charge_settled,
    RefundCreated: _refunds,
    RefundFailed: _refunds,
    TransferDue: _transfer_due,
    TransferCreated: _moved,
    TransferReversalDue: _moved,
    TransferReversed: _moved,
    CheckInCreated: _nothing,
    DisputeCreated: _nothing,
    DisputeUpdated: _nothing,
    DisputeFundsWithdrawn: _nothing,
    DisputeFundsReinstated: _nothing,
    DisputeClosed: _dispute_closed,
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
        "unsettled_charge_id": "text",
        "refunds": "json",
        "moves_due": "integer",
        "payout_at": "timestamptz",
    },
    project=project,
    lines=LEDGER,
)

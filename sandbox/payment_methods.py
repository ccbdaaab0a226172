"""Payment methods: a test name becomes a payment method with an id of its own when it is used."""

from __future__ import annotations

from typing import Any

from sandbox import objects
from sandbox.calls import Call
from sandbox.cards import CARDS
from sandbox.errors import missing_object
from sandbox.store import Record


def resolve(call: Call, name_or_id: str) -> Record | None:
    """The payment method of this id, or a new one for a test name; None when it is neither."""
    if name_or_id in CARDS:
        record = {"id": call.store.ids.new("pm"), "created": call.now, "card": name_or_id}
        call.store.insert("payment_methods", record)
        return record
    return call.store.get("payment_methods", name_or_id)


def resolve_parameter(call: Call, name_or_id: str) -> Record:
    """As `resolve`, for the parameter `payment_method`. Raises StripeError 400 `resource_missing`."""
    record = resolve(call, name_or_id)
    if record is None:
        raise missing_object("PaymentMethod", name_or_id, param="payment_method", status=400)
    return record


def retrieve(call: Call) -> dict[str, Any]:
    """GET /v1/payment_methods/{id}"""
    call.parameters.refuse_unknown()
    record = resolve(call, call.identifier)
    if record is None:
        raise missing_object("PaymentMethod", call.identifier, param="payment_method")
    return objects.payment_method(record)

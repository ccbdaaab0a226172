"""Fault 9: Stripe's webhooks come twice, in the wrong order, three days late, long after the order's deadline."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Any
from uuid import UUID

import pytest

from tests.api.house import House
from tests.api.test_api_webhooks import send, succeeded

THREE_DAYS_SECONDS = 3 * 24 * 3600


@pytest.mark.parametrize("is_taken", [False, True])
@pytest.mark.parametrize("seed", range(3))
async def test_they_end_in_one_sale_or_one_refund(house: House, is_taken: bool, seed: int) -> None:
    _, buyer, ticket, order = await house.ordered(quantity=1, hold_seconds=1)
    intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
    intent = await house.sandbox("GET", f"/v1/payment_intents/{intent_id}")
    await asyncio.sleep(1.05)
    if is_taken:
        assert (await house.order(await house.person(), ticket["id"])).status == 201
    failed = {"last_payment_error": {"code": "card_declined", "charge": "ch_0", "type": "card_error"}}
    late: list[tuple[str, dict[str, Any]]] = [
        ("payment_intent.payment_failed", intent | failed),
        ("payment_intent.succeeded", succeeded(intent)),
    ] * 3
    Random(seed).shuffle(late)
    for event_type, subject in late:
        # Stripe signs every redelivery anew; the event itself is as old as it is.
        answer = await send(house, event_type, subject, created=int(time.time()) - THREE_DAYS_SECONDS)
        assert answer.status == 200
    types = await house.types(order["id"])
    seen = (await house.call("GET", f"/tickets/{ticket['id']}")).body
    assert types.count("ChargeCreated") == 1
    assert types.count("ChargeFailed") <= 1
    assert types.count("OrderCompleted") == (0 if is_taken else 1)
    assert (seen["held"], seen["sold"]) == ((1, 0) if is_taken else (0, 1))
    history = await house.services.log.history(UUID(order["id"]))
    charged = next(event.data for event in history if event.type == "ChargeCreated")
    assert charged.refund_due is is_taken  # type: ignore[union-attr]

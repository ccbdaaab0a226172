"""Stripe's webhooks: signed, understood, and heard as often as they like to come."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import stripe

from domain.errors import Unavailable
from tests.api.conftest import OpenHouse
from tests.api.house import WEBHOOK_SECRET, Answer, House, eventually

PATH = "/webhooks/stripe"


def sign(raw: bytes, secret: str = WEBHOOK_SECRET, age_seconds: int = 0) -> str:
    header: str = stripe.WebhookSignature.generate_signature_header(
        raw.decode(), secret, int(time.time()) - age_seconds
    )
    return header


async def send(house: House, event_type: str, subject: dict[str, Any], **more: Any) -> Answer:
    """One signed event."""
    raw = msgspec.json.encode(
        {"id": "evt_1", "object": "event", "type": event_type, "data": {"object": subject}} | more
    )
    return await house.call("POST", PATH, raw=raw, headers={"Stripe-Signature": sign(raw)})


async def waiting(house: House) -> tuple[Any, Any, dict[str, Any]]:
    """An order that waits for its payment, with its buyer and the intent as Stripe would tell it."""
    _, buyer, _, order = await house.ordered()
    intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
    return buyer, order, await house.sandbox("GET", f"/v1/payment_intents/{intent_id}")


def succeeded(intent: dict[str, Any], **change: Any) -> dict[str, Any]:
    return intent | {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": "ch_1"} | change


async def outcomes(house: House, outcome: str) -> float:
    text = (await house.call("GET", "//metrics")).raw.decode()
    name = f'stagedoor_stripe_webhooks_total{{outcome="{outcome}"}} '
    return next((float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)), 0.0)


async def test_money_completes_the_order_however_often_it_is_heard_of(house: House) -> None:
    buyer, order, intent = await waiting(house)
    for _ in range(3):
        answer = await send(house, "payment_intent.succeeded", succeeded(intent))
        assert (answer.status, answer.body) == (200, {"received": True})
    done = await house.call("GET", f"/orders/{order['id']}", token=buyer.token)
    assert (done.body["status"], done.body["charge_id"]) == ("completed", "ch_1")
    types = await house.types(order["id"])
    assert types == ["OrderCreated", "OrderAwaitingPayment", "ChargeCreated", "OrderCompleted"]
    history = (await house.call("GET", f"/orders/{order['id']}/history", token=buyer.token)).body["items"]
    assert history[-1]["actor"] is None


async def test_a_failure_is_noted_once(house: House) -> None:
    _, order, intent = await waiting(house)
    error = {"code": "card_declined", "decline_code": "lost_card", "charge": "ch_1", "type": "card_error"}
    for _ in range(2):
        answer = await send(house, "payment_intent.payment_failed", intent | {"last_payment_error": error})
        assert answer.status == 200
    assert await house.types(order["id"]) == ["OrderCreated", "OrderAwaitingPayment", "ChargeFailed"]


async def test_a_failure_that_comes_after_the_success_changes_nothing(house: House) -> None:
    _, order, intent = await waiting(house)
    await send(house, "payment_intent.succeeded", succeeded(intent))
    error = {"code": "card_declined", "charge": "ch_0", "type": "card_error"}
    await send(house, "payment_intent.payment_failed", intent | {"last_payment_error": error})
    await send(house, "payment_intent.canceled", intent | {"status": "canceled"})
    assert (await house.types(order["id"]))[-1] == "OrderCompleted"


async def test_a_closed_intent_is_noted(house: House) -> None:
    _, order, intent = await waiting(house)
    await send(house, "payment_intent.canceled", intent | {"status": "canceled"})
    history = await house.services.log.history(UUID(order["id"]))
    assert history[-1].type == "ChargeFailed"
    assert history[-1].data.code == "payment_intent_canceled"  # type: ignore[union-attr]


async def test_money_for_a_cancelled_order_is_due_to_go_back_and_its_refund_is_noted(house: House) -> None:
    buyer, order, _ = await waiting(house)
    assert (await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)).status == 200
    intent_id = (await house.services.log.history(UUID(order["id"])))[1].data.payment_intent_id  # type: ignore[union-attr]
    paid = await house.services.gateway.confirm(intent_id, "pm_card_visa", "attempt")
    assert paid.charge is not None
    intent = await house.sandbox("GET", f"/v1/payment_intents/{intent_id}")
    await send(house, "payment_intent.succeeded", intent)
    refund_id = await house.services.gateway.refund(paid.charge)
    refund = await house.sandbox("GET", f"/v1/refunds/{refund_id}")
    for _ in range(2):
        assert (await send(house, "refund.created", refund)).status == 200
    seen = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert (seen["status"], seen["charge_id"], seen["refund_id"]) == ("cancelled", paid.charge.charge_id, refund_id)
    assert (await house.types(order["id"]))[2:] == ["OrderCancelled", "ChargeCreated", "RefundCreated"]


async def test_a_refund_in_part_is_left_out(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    paid = (await house.pay(buyer, order["id"])).body
    subject = {"id": "re_1", "amount": 1, "currency": "eur", "status": "succeeded", "charge": paid["charge_id"]}
    answer = await send(house, "refund.created", subject | {"payment_intent": paid["payment_intent_id"]})
    assert answer.status == 200
    assert (await house.types(order["id"]))[-1] == "OrderCompleted"


@pytest.mark.parametrize(
    "change",
    [{"amount_received": 1}, {"currency": "usd"}, {"id": "pi_another"}],
)
async def test_money_that_is_not_the_orders_is_never_taken(
    house: House, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    buyer, order, intent = await waiting(house)
    answer = await send(house, "payment_intent.succeeded", succeeded(intent, **change))
    assert answer.status == 200
    seen = await house.call("GET", f"/orders/{order['id']}", token=buyer.token)
    assert (seen.body["status"], seen.body["charge_id"]) == ("awaiting_payment", None)
    assert await outcomes(house, "mismatch") == 1
    assert any(record.levelname == "ERROR" and "not taken" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("event_type", "subject"),
    [
        ("customer.created", {"id": "cus_1"}),
        ("charge.refunded", {"id": "ch_1", "object": "charge"}),
        ("payment_intent.created", {"id": "pi_1", "status": "x", "amount": 1, "currency": "eur"}),
        ("payment_intent.succeeded", {"id": "pi_1", "status": "succeeded", "amount": 1, "currency": "eur"}),
        ("payment_intent.succeeded", {"something": "else"}),
        ("refund.created", {"id": "re_1", "amount": 1, "currency": "eur", "status": "failed"}),
    ],
)
async def test_what_is_of_no_concern_is_let_pass(house: House, event_type: str, subject: dict[str, Any]) -> None:
    assert (await send(house, event_type, subject)).status == 200
    assert await outcomes(house, "ignored") == 1


async def test_orders_of_another_house_and_connected_accounts_are_ignored(house: House) -> None:
    _, order, intent = await waiting(house)
    await send(house, "payment_intent.succeeded", succeeded(intent, metadata={"order_id": str(uuid4())}))
    await send(house, "payment_intent.succeeded", succeeded(intent, metadata={"order_id": "42"}))
    await send(house, "payment_intent.succeeded", succeeded(intent), account="acct_1")
    assert await outcomes(house, "ignored") == 3
    assert (await house.types(order["id"]))[-1] == "OrderAwaitingPayment"


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "t=1,v1=00",
        "nonsense",
        "t=x,v1=y",
        "ü",
        "t=1,v1=ü",
        "OTHER_SECRET",
        "TOO_OLD",
        "OTHER_BODY",
    ],
)
async def test_a_bad_signature_is_refused(house: House, signature: str | None) -> None:
    _, order, intent = await waiting(house)
    event = {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": succeeded(intent)}}
    raw = msgspec.json.encode(event)
    made = {
        "OTHER_SECRET": sign(raw, "whsec_other"),
        "TOO_OLD": sign(raw, age_seconds=301),
        "OTHER_BODY": sign(raw + b" "),
    }
    headers = {} if signature is None else {"Stripe-Signature": made.get(signature, signature)}
    answer = await house.call("POST", PATH, raw=raw, headers=headers)
    assert (answer.status, answer.code) == (400, "bad_signature")
    assert await outcomes(house, "bad_signature") == 1
    assert (await house.types(order["id"]))[-1] == "OrderAwaitingPayment"


async def test_a_body_that_is_no_text(house: House) -> None:
    answer = await house.call("POST", PATH, raw=b"\xff\xfe", headers={"Stripe-Signature": "t=1,v1=00"})
    assert (answer.status, answer.code) == (400, "bad_signature")


async def test_two_secrets_are_good_while_one_is_replaced(open_house: OpenHouse) -> None:
    async with open_house(stripe_webhook_secret="whsec_new, whsec_old") as house:
        raw = b'{"id": "evt_1", "type": "customer.created", "data": {"object": {}}}'
        for secret, status in (("whsec_new", 200), ("whsec_old", 200), ("whsec_older", 400), ("", 400)):
            answer = await house.call("POST", PATH, raw=raw, headers={"Stripe-Signature": sign(raw, secret)})
            assert answer.status == status


async def test_with_the_store_away_stripe_is_asked_to_come_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, intent = await waiting(house)

    def away(*_: object) -> None:
        raise Unavailable("the event store does not answer")

    monkeypatch.setattr(type(house.services.marketplace), "take_charge", away)
    answer = await send(house, "payment_intent.succeeded", succeeded(intent))
    assert (answer.status, answer.code) == (503, "unavailable")


async def test_the_sandboxes_own_webhooks_arrive(house_with_webhooks: House) -> None:
    house = house_with_webhooks
    _, buyer, _, order = await house.ordered()
    intent_id = (await house.pay(buyer, order["id"], "pm_card_authenticationRequired")).body["payment_intent_id"]
    await house.sandbox("POST", f"/_sandbox/payment_intents/{intent_id}/authenticate", {"outcome": "succeed"})

    async def completed() -> bool:
        return "OrderCompleted" in await house.types(order["id"])

    assert await eventually(completed)


async def test_the_webhook_comes_before_the_answer_and_twice(house_with_webhooks: House) -> None:
    house = house_with_webhooks
    _, buyer, _, order = await house.ordered()
    await house.sandbox("POST", "/_sandbox/faults", {"delay_ms": 300, "webhook_twice": True})
    answer = await house.pay(buyer, order["id"])
    assert (answer.status, answer.body["status"]) == (201, "succeeded")

    async def delivered() -> bool:
        state = await house.sandbox("GET", "/_sandbox/state")
        return bool(state["webhooks"]["pending"] == 0)

    assert await eventually(delivered)
    types = ["OrderCreated", "OrderAwaitingPayment", "ChargeCreated", "OrderCompleted"]
    assert await house.types(order["id"]) == types

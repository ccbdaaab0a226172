"""Each switch, and that the sandbox is healthy again when it is off."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
import stripe

from tests.sandbox.harness import Endpoint, Sandbox, wait_until


def settle(sandbox: Sandbox) -> None:
    """Lets the webhooks of other tests go out first."""
    wait_until(lambda: sandbox.state()["webhooks"]["pending"] == 0, "nothing is pending")


def test_the_answer_is_lost_but_the_money_is_taken(sandbox: Sandbox) -> None:
    sandbox.faults(answer_lost_after_charging=1)
    intent = sandbox.new_intent()
    options: Any = {"idempotency_key": uuid.uuid4().hex}
    with pytest.raises(stripe.APIConnectionError):
        sandbox.intents.confirm(intent.id, {"payment_method": "pm_card_visa"}, options)
    assert sandbox.intents.retrieve(intent.id).status == "succeeded"
    assert sandbox.call("GET", "/_sandbox/faults").body["answer_lost_after_charging"] == 0
    again = sandbox.intents.confirm(intent.id, {"payment_method": "pm_card_visa"}, options)
    assert again.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sandbox.intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert refused.value.code == "payment_intent_unexpected_state"
    assert len(sandbox.stripe.v1.charges.list({"payment_intent": intent.id}).data) == 1


def test_the_sdks_own_retry_finds_the_lost_answer(sandbox: Sandbox) -> None:
    client = stripe.StripeClient("sk_test_sandbox", base_addresses={"api": sandbox.url}, max_network_retries=2)
    sandbox.faults(answer_lost_after_charging=2)
    intent = client.v1.payment_intents.create(
        {"amount": 900, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
    )
    assert intent.status == "succeeded"
    assert len(sandbox.stripe.v1.charges.list({"payment_intent": intent.id}).data) == 1
    assert sandbox.call("GET", "/_sandbox/faults").body["answer_lost_after_charging"] == 0


def test_only_attempts_on_a_card_lose_their_answer(sandbox: Sandbox) -> None:
    sandbox.faults(answer_lost_after_charging=1)
    intent = sandbox.new_intent()
    sandbox.intents.retrieve(intent.id)
    with pytest.raises(stripe.InvalidRequestError):
        sandbox.intents.confirm(intent.id)
    assert sandbox.call("GET", "/_sandbox/faults").body["answer_lost_after_charging"] == 1


def test_slow_answers(sandbox: Sandbox) -> None:
    sandbox.faults(delay_ms=1_000)
    begun = time.monotonic()
    intent = sandbox.new_intent()
    assert time.monotonic() - begun >= 1.0
    sandbox.call("DELETE", "/_sandbox/faults")
    begun = time.monotonic()
    sandbox.intents.retrieve(intent.id)
    assert time.monotonic() - begun < 1.0


def test_failures_before_any_work(sandbox: Sandbox) -> None:
    count = sandbox.state()["payment_intents"]
    sandbox.faults(fail_next={"status": 500, "count": 2})
    options: Any = {"idempotency_key": uuid.uuid4().hex}
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            sandbox.intents.create({"amount": 1000, "currency": "eur"}, options)
        assert failed.value.http_status == 500
    assert sandbox.state()["payment_intents"] == count
    assert sandbox.intents.create({"amount": 1000, "currency": "eur"}, options).status == "requires_payment_method"
    sandbox.faults(fail_next={"status": 429, "count": 1})
    with pytest.raises(stripe.RateLimitError):
        sandbox.intents.list()
    sandbox.intents.list()


def test_late_webhooks(sandbox: Sandbox, endpoint: Endpoint) -> None:
    settle(sandbox)
    sandbox.faults(webhook_delay_ms=700)
    made_at = time.time()
    intent = sandbox.new_intent()
    assert endpoint.types_of(intent.id) == []
    endpoint.wait_for(intent.id, 1)
    assert next(r.at for r in endpoint.received if intent.id in str(r)) - made_at >= 0.7


def test_webhooks_twice(sandbox: Sandbox, endpoint: Endpoint) -> None:
    sandbox.faults(webhook_twice=True)
    intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True)
    endpoint.wait_for(intent.id, 6)
    settle(sandbox)
    assert sorted(endpoint.types_of(intent.id)) == sorted(sandbox.events_of(intent.id) * 2)


def test_webhooks_in_reverse(sandbox: Sandbox, endpoint: Endpoint) -> None:
    settle(sandbox)
    sandbox.faults(webhook_reverse_order=True)
    intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True)
    endpoint.wait_for(intent.id, 3)
    assert endpoint.types_of(intent.id) == ["payment_intent.succeeded", "charge.succeeded", "payment_intent.created"]
    # Twelve more: a full group of ten and what is left, each of them newest first.
    sandbox.faults(webhooks_paused=True)
    made = [sandbox.new_intent().id for _ in range(12)]
    sandbox.faults(webhooks_paused=False)
    settle(sandbox)
    arrived = [r.event["data"]["object"]["id"] for r in endpoint.received]
    assert [i for i in arrived if i in made] == made[9::-1] + made[:9:-1]


def test_paused_webhooks_are_kept(sandbox: Sandbox, endpoint: Endpoint) -> None:
    settle(sandbox)
    assert sandbox.faults(webhooks_paused=True)["webhooks_paused"] is True
    intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True)
    time.sleep(0.3)
    assert endpoint.types_of(intent.id) == []
    assert sandbox.state()["webhooks"]["pending"] == 3
    sandbox.faults(webhooks_paused=False)
    assert len(endpoint.wait_for(intent.id, 3)) == 3


def test_switches_are_shown_changed_one_by_one_and_reset(sandbox: Sandbox) -> None:
    fresh = sandbox.call("GET", "/_sandbox/faults").body
    assert fresh == {
        "answer_lost_after_charging": 0,
        "delay_ms": 0,
        "settle_delay_ms": 1000,
        "webhook_delay_ms": 0,
        "webhook_twice": False,
        "webhook_reverse_order": False,
        "webhooks_paused": False,
        "fail_next": {"status": 500, "count": 0},
    }
    sandbox.faults(webhook_twice=True)
    assert sandbox.faults(webhook_delay_ms=5) == fresh | {"webhook_twice": True, "webhook_delay_ms": 5}
    assert sandbox.call("DELETE", "/_sandbox/faults").body == fresh


@pytest.mark.parametrize(
    "wanted",
    [
        [],
        {"webhooks_late": True},
        {"delay_ms": -1},
        {"delay_ms": 600_001},
        {"delay_ms": True},
        {"webhook_twice": 1},
        {"fail_next": 3},
        {"fail_next": {"status": 200, "count": 1}},
        {"fail_next": {"status": 500}},
        {"webhook_twice": True, "delay_ms": "x"},
    ],
)
def test_bad_switches_change_nothing(sandbox: Sandbox, wanted: Any) -> None:
    fresh = sandbox.call("GET", "/_sandbox/faults").body
    json_type = {"Content-Type": "application/json"}
    assert sandbox.call("POST", "/_sandbox/faults", json.dumps(wanted).encode(), headers=json_type).status == 400
    assert sandbox.call("POST", "/_sandbox/faults", b"{", headers=json_type).status == 400
    assert sandbox.call("POST", "/_sandbox/faults", {"webhook_twice": "true"}).status == 400
    assert sandbox.call("GET", "/_sandbox/faults").body == fresh

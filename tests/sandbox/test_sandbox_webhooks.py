"""Signed webhooks, retries, and what is pending over a restart."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import stripe

from cli.embedded.ports import free_port
from sandbox.webhooks import FIRST_RETRY_SECONDS, MAX_ATTEMPTS, MAX_RETRY_SECONDS, retry_seconds
from tests.sandbox.harness import WEBHOOK_SECRET, Endpoint, Sandbox, listening, wait_until


def test_events_arrive_signed(sandbox: Sandbox, endpoint: Endpoint) -> None:
    intent = sandbox.new_intent(metadata={"order_id": "42"}, payment_method="pm_card_visa", confirm=True)
    arrived = endpoint.wait_for(intent.id, 3)
    assert sorted(arrived) == ["charge.succeeded", "payment_intent.created", "payment_intent.succeeded"]
    received = next(
        r for r in endpoint.received if r.event["type"] == "payment_intent.succeeded" and intent.id in str(r)
    )
    event = stripe.Webhook.construct_event(received.body, received.signature, WEBHOOK_SECRET)
    assert event.id.startswith("evt_")
    assert (event.object, event.livemode, event.pending_webhooks) == ("event", False, 1)
    assert event.api_version
    assert event.request is not None
    assert str(event.request.id).startswith("req_")
    assert event.data.object["metadata"]["order_id"] == "42"
    assert event.data.object["status"] == "succeeded"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(received.body + b" ", received.signature, WEBHOOK_SECRET)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(received.body, received.signature, "whsec_other")


def test_a_refund_tells_what_changed(sandbox: Sandbox, endpoint: Endpoint) -> None:
    intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True)
    sandbox.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 100})
    endpoint.wait_for(intent.id, 5)
    event = next(r.event for r in endpoint.received if r.event["type"] == "charge.refunded" and intent.id in str(r))
    assert event["data"]["previous_attributes"] == {"amount_refunded": 0}
    assert event["data"]["object"]["amount_refunded"] == 100


def test_a_delivered_event_is_pending_no_more(sandbox: Sandbox, endpoint: Endpoint) -> None:
    intent = sandbox.new_intent()
    endpoint.wait_for(intent.id, 1)
    event_id = next(r.event["id"] for r in endpoint.received if intent.id in str(r))
    events = sandbox.stripe.v1.events
    wait_until(lambda: events.retrieve(event_id).pending_webhooks == 0, "the delivery is recorded")
    assert event_id in [event.id for event in events.list({"type": "payment_intent.created"}).data]


def test_refused_webhooks_are_repeated(sandbox: Sandbox, endpoint: Endpoint) -> None:
    wait_until(lambda: sandbox.state()["webhooks"]["pending"] == 0, "everything else is delivered")
    endpoint.statuses[:] = [500, 302]
    intent = sandbox.new_intent()
    assert endpoint.wait_for(intent.id, 3) == ["payment_intent.created"] * 3
    mine = [received for received in endpoint.received if intent.id in str(received)]
    assert len({received.body for received in mine}) == 1
    assert mine[1].at - mine[0].at >= FIRST_RETRY_SECONDS * 0.9
    assert mine[2].at - mine[1].at >= FIRST_RETRY_SECONDS * 1.8
    wait_until(lambda: sandbox.state()["webhooks"]["pending"] == 0, "the last one was taken")
    time.sleep(0.2)
    assert len(endpoint.types_of(intent.id)) == 3


def test_the_retries_are_bounded() -> None:
    waits = [retry_seconds(attempts) for attempts in range(1, MAX_ATTEMPTS)]
    assert waits[:3] == [0.5, 1.0, 2.0]
    assert max(waits) == MAX_RETRY_SECONDS
    assert 70 * 60 < sum(waits) < 80 * 60


def test_what_is_pending_survives_a_kill(state_path: Path) -> None:
    port = free_port()
    with Sandbox(state_path, f"http://127.0.0.1:{port}/hook") as sandbox:
        intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True)
        wait_until(lambda: sandbox.state()["webhooks"]["failed_attempts"] >= 3, "nobody listens yet")
        assert sandbox.state()["webhooks"]["pending"] == 3
        sandbox.kill()
        with listening(port) as endpoint:
            sandbox.restart()
            assert len(endpoint.wait_for(intent.id, 3)) == 3
            wait_until(lambda: sandbox.state()["webhooks"]["pending"] == 0, "all is delivered")
            assert sandbox.state()["webhooks"]["delivered"] == 3


def test_an_endpoint_may_want_only_some_events(state_path: Path) -> None:
    wanted = ["payment_intent.succeeded"]
    with listening() as endpoint, Sandbox(state_path, endpoint.url, webhook_events=wanted) as sandbox:
        intent = sandbox.new_intent(payment_method="pm_card_visa", confirm=True)
        endpoint.wait_for(intent.id, 1)
        wait_until(lambda: sandbox.state()["webhooks"]["delivered"] == 1, "the delivery is recorded")
        assert endpoint.types_of(intent.id) == wanted
        assert len(sandbox.events_of(intent.id)) == 3


def test_without_an_endpoint_events_are_only_listed(state_path: Path) -> None:
    with Sandbox(state_path) as sandbox:
        intent = sandbox.new_intent()
        assert sandbox.events_of(intent.id) == ["payment_intent.created"]
        assert sandbox.state()["webhooks"] == {"delivered": 0, "failed_attempts": 0, "given_up": 0, "pending": 0}

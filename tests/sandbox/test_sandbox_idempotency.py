"""Idempotency keys."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.sandbox.harness import PUBLISHABLE_KEY, Sandbox

FORM = {"amount": "1000", "currency": "eur"}


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def test_a_replay_has_one_effect(sandbox: Sandbox) -> None:
    key = new_key()
    first = sandbox.call("POST", "/v1/payment_intents", FORM, headers=key)
    count = sandbox.state()["payment_intents"]
    again = sandbox.call("POST", "/v1/payment_intents", dict(reversed(FORM.items())), headers=key)
    assert (again.status, again.body) == (200, first.body)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Idempotency-Key"] == key["Idempotency-Key"]
    assert sandbox.state()["payment_intents"] == count


def test_a_decline_is_replayed_too(sandbox: Sandbox) -> None:
    intent, key = sandbox.new_intent(), new_key()
    path, form = f"/v1/payment_intents/{intent.id}/confirm", {"payment_method": "pm_card_chargeDeclined"}
    first, again = (sandbox.call("POST", path, form, headers=key) for _ in range(2))
    assert (first.status, again.status) == (402, 402)
    assert again.body == first.body
    assert len(sandbox.stripe.v1.charges.list({"payment_intent": intent.id}).data) == 1
    assert sandbox.intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status == "succeeded"
    assert sandbox.call("POST", path, form, headers=key).body == first.body


def test_other_parameters_or_another_path_are_refused(sandbox: Sandbox) -> None:
    options: Any = {"idempotency_key": uuid.uuid4().hex}
    sandbox.intents.create({"amount": 1000, "currency": "eur"}, options)
    with pytest.raises(stripe.IdempotencyError) as mismatch:
        sandbox.intents.create({"amount": 1001, "currency": "eur"}, options)
    assert mismatch.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        sandbox.stripe.v1.refunds.create({"payment_intent": "pi_1"}, options)


def test_a_request_with_bad_parameters_leaves_no_trace(sandbox: Sandbox) -> None:
    key = new_key()
    assert sandbox.call("POST", "/v1/payment_intents", {"amount": "x"}, headers=key).status == 400
    assert sandbox.call("POST", "/v1/payment_intents", FORM, headers=key).status == 200


def test_a_refusal_by_state_is_kept(sandbox: Sandbox) -> None:
    intent, key = sandbox.new_intent(), new_key()
    path = f"/v1/payment_intents/{intent.id}/confirm"
    first = sandbox.call("POST", path, headers=key)
    assert first.body["error"]["code"] == "payment_intent_unexpected_state"
    sandbox.intents.cancel(intent.id)
    assert sandbox.call("POST", path, headers=key).body == first.body


def test_bad_keys(sandbox: Sandbox) -> None:
    for key in ("k" * 256, "\xe9"):
        answer = sandbox.call("POST", "/v1/payment_intents", FORM, headers={"Idempotency-Key": key})
        assert (answer.status, answer.body["error"]["type"]) == (400, "invalid_request_error")
    assert sandbox.call("POST", "/v1/payment_intents", FORM, headers={"Idempotency-Key": "k" * 255}).status == 200


def test_the_same_key_at_the_same_time(sandbox: Sandbox) -> None:
    sandbox.faults(delay_ms=2_000)
    key = new_key()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: sandbox.call("POST", "/v1/payment_intents", FORM, headers=key), range(4)))
    done = [answer for answer in answers if answer.status == 200]
    busy = [answer for answer in answers if answer.status == 409]
    assert (len(done), len(busy)) == (1, 3)
    assert {answer.body["error"]["code"] for answer in busy} == {"idempotency_key_in_use"}
    sandbox.call("DELETE", "/_sandbox/faults")
    assert sandbox.call("POST", "/v1/payment_intents", FORM, headers=key).body == done[0].body


def test_a_page_cannot_replay_the_servers_request(sandbox: Sandbox) -> None:
    intent, key = sandbox.new_intent(metadata={"order_id": "42"}), new_key()
    path, form = f"/v1/payment_intents/{intent.id}/confirm", {"payment_method": "pm_card_visa"}
    assert sandbox.call("POST", path, form, headers=key).body["metadata"] == {"order_id": "42"}
    spied = sandbox.call("POST", path, form, key=PUBLISHABLE_KEY, headers=key)
    assert (spied.status, spied.body["error"]["type"]) == (400, "idempotency_error")


@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_keys_are_kept_across_restarts(state_path: Path, ending: str) -> None:
    key = new_key()
    with Sandbox(state_path) as sandbox:
        first = sandbox.call("POST", "/v1/payment_intents", FORM, headers=key)
        getattr(sandbox, ending)()
        sandbox.restart()
        again = sandbox.call("POST", "/v1/payment_intents", FORM, headers=key)
        assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")
        other = sandbox.call("POST", "/v1/payment_intents", FORM | {"amount": "2000"}, headers=key)
        assert (other.status, other.body["error"]["type"]) == (400, "idempotency_error")
        assert sandbox.state()["payment_intents"] == 1

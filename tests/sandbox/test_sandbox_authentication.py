"""3-D Secure, and what the buyer's own page may do."""

from __future__ import annotations

import http.client
import urllib.parse
from typing import Any

import pytest
import stripe

from tests.sandbox.harness import PUBLISHABLE_KEY, Answer, Sandbox


def authenticate(sandbox: Sandbox, intent_id: str, outcome: str) -> Answer:
    return sandbox.call("POST", f"/_sandbox/payment_intents/{intent_id}/authenticate", {"outcome": outcome}, key=None)


def test_the_buyer_passes(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(payment_method="pm_card_authenticationRequired", confirm=True)
    assert (intent.status, intent.latest_charge) == ("requires_action", None)
    assert intent.next_action is not None
    assert intent.next_action.type == "use_stripe_sdk"
    answer = authenticate(sandbox, intent.id, "succeed")
    assert (answer.status, answer.body["status"]) == (200, "succeeded")
    paid = sandbox.intents.retrieve(intent.id)
    assert (paid.status, paid.next_action, paid.amount_received) == ("succeeded", None, 2500)
    assert sandbox.events_of(intent.id) == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]
    assert authenticate(sandbox, intent.id, "succeed").body["error"]["code"] == "payment_intent_unexpected_state"


def test_the_buyer_fails_and_tries_another_card(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(payment_method="pm_card_threeDSecure2Required", confirm=True)
    authenticate(sandbox, intent.id, "fail")
    failed = sandbox.intents.retrieve(intent.id)
    assert (failed.status, failed.payment_method) == ("requires_payment_method", None)
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"
    assert sandbox.events_of(intent.id)[-1] == "payment_intent.payment_failed"
    assert sandbox.stripe.v1.charges.list({"payment_intent": intent.id}).data == []
    assert sandbox.intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status == "succeeded"


def test_the_bank_declines_after_authentication(sandbox: Sandbox) -> None:
    card = "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"
    intent = sandbox.new_intent(payment_method=card, confirm=True)
    assert intent.status == "requires_action"
    assert authenticate(sandbox, intent.id, "succeed").body["status"] == "requires_payment_method"
    error = sandbox.intents.retrieve(intent.id).last_payment_error
    assert error is not None
    assert (error.code, error.decline_code) == ("card_declined", "insufficient_funds")


@pytest.mark.parametrize("alone", [{"off_session": True}, {"error_on_requires_action": True}])
def test_with_nobody_to_ask_it_is_declined(sandbox: Sandbox, alone: dict[str, bool]) -> None:
    with pytest.raises(stripe.CardError) as declined:
        sandbox.new_intent(payment_method="pm_card_authenticationRequired", confirm=True, **alone)
    assert declined.value.code == "authentication_required"


def test_a_waiting_intent_can_be_canceled(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(payment_method="pm_card_authenticationRequired", confirm=True)
    canceled = sandbox.intents.cancel(intent.id)
    assert (canceled.status, canceled.next_action) == ("canceled", None)
    assert authenticate(sandbox, intent.id, "succeed").status == 400
    assert sandbox.intents.retrieve(intent.id).amount_received == 0


@pytest.mark.parametrize(("button", "status"), [("succeed", "succeeded"), ("fail", "failed")])
def test_the_page_sends_the_buyer_back(sandbox: Sandbox, button: str, status: str) -> None:
    intent = sandbox.new_intent()
    waiting = sandbox.intents.confirm(
        intent.id,
        {"payment_method": "pm_card_authenticationRequired", "return_url": "https://shop.example/done?order=7"},
    )
    assert waiting.next_action is not None
    assert waiting.next_action.redirect_to_url is not None
    page = str(waiting.next_action.redirect_to_url.url)
    assert page.startswith(sandbox.url)
    shown = sandbox.call("GET", page.removeprefix(sandbox.url), key=None)
    assert shown.status == 200
    assert 'name="outcome"' in shown.body

    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=10)
    form = urllib.parse.urlencode({"outcome": button, "return": "true"})
    connection.request(
        "POST", page.removeprefix(sandbox.url), form, {"Content-Type": "application/x-www-form-urlencoded"}
    )
    answer = connection.getresponse()
    assert answer.status == 303
    back = urllib.parse.urlsplit(answer.headers["Location"])
    connection.close()
    assert (back.netloc, back.path) == ("shop.example", "/done")
    assert dict(urllib.parse.parse_qsl(back.query)) == {
        "order": "7",
        "payment_intent": intent.id,
        "payment_intent_client_secret": intent.client_secret,
        "redirect_status": status,
    }


def test_authenticating_what_is_not_there(sandbox: Sandbox) -> None:
    assert authenticate(sandbox, "pi_nothing", "succeed").status == 404
    assert authenticate(sandbox, sandbox.new_intent().id, "perhaps").status == 400


# --- the buyer's page, with a publishable key -------------------------------------------------------------------------


def page_confirm(sandbox: Sandbox, intent: Any, **form: str) -> Answer:
    fields = {"key": PUBLISHABLE_KEY, "payment_method": "pm_card_visa", **form}
    return sandbox.call("POST", f"/v1/payment_intents/{intent.id}/confirm", fields, key=None)


def test_a_page_confirms_with_the_client_secret(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(metadata={"order_id": "42"})
    answer = page_confirm(sandbox, intent, client_secret=intent.client_secret or "")
    assert (answer.status, answer.body["status"]) == (200, "succeeded")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert not {"metadata", "latest_charge", "customer"} & set(answer.body)
    query = urllib.parse.urlencode({"client_secret": intent.client_secret})
    seen = sandbox.call("GET", f"/v1/payment_intents/{intent.id}?{query}", key=PUBLISHABLE_KEY)
    assert (seen.status, seen.body["status"]) == (200, "succeeded")


def test_a_page_sees_no_more_of_a_declined_intent(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent(metadata={"order_id": "42"})
    answer = page_confirm(
        sandbox, intent, client_secret=intent.client_secret or "", payment_method="pm_card_chargeDeclined"
    )
    assert (answer.status, answer.body["error"]["code"]) == (402, "card_declined")
    assert "metadata" not in answer.body["error"]["payment_intent"]


def test_a_page_without_the_secret_is_refused(sandbox: Sandbox) -> None:
    intent, other = sandbox.new_intent(), sandbox.new_intent()
    assert page_confirm(sandbox, intent).body["error"]["code"] == "parameter_missing"
    wrong = page_confirm(sandbox, intent, client_secret=other.client_secret or "")
    assert (wrong.status, wrong.body["error"]["code"]) == (400, "payment_intent_invalid_parameter")
    assert sandbox.intents.retrieve(intent.id).status == "requires_payment_method"


def test_a_publishable_key_may_do_nothing_else(sandbox: Sandbox) -> None:
    intent = sandbox.new_intent()
    for method, path in [
        ("POST", "/v1/payment_intents"),
        ("GET", "/v1/payment_intents"),
        ("POST", f"/v1/payment_intents/{intent.id}/cancel"),
        ("POST", f"/v1/payment_intents/{intent.id}"),
        ("POST", "/v1/refunds"),
        ("GET", "/v1/charges"),
        ("GET", "/v1/events"),
    ]:
        answer = sandbox.call(method, path, key=PUBLISHABLE_KEY)
        assert (answer.status, answer.body["error"]["code"]) == (403, "secret_key_required"), path
    assert sandbox.call("GET", f"/v1/payment_intents/{intent.id}", key=PUBLISHABLE_KEY).status == 400

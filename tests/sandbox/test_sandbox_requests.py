"""Keys, parameters, headers and errors of the HTTP API."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import stripe

from tests.sandbox.harness import Sandbox


def test_missing_and_wrong_keys(sandbox: Sandbox) -> None:
    for key in (None, "sk_test_wrong", "é"):
        headers = {} if key != "é" else {"Authorization": "Bearer \xe9"}
        answer = sandbox.call("GET", "/v1/payment_intents", key=key if key != "é" else None, headers=headers)
        assert answer.status == 401
        assert answer.body["error"]["type"] == "invalid_request_error"
        assert "WWW-Authenticate" in answer.headers
    with pytest.raises(stripe.AuthenticationError):
        stripe.StripeClient("sk_test_wrong", base_addresses={"api": sandbox.url}).v1.charges.list()


def test_basic_authentication(sandbox: Sandbox) -> None:
    for user, status in (("sk_test_sandbox:", 200), ("sk_test_wrong:", 401)):
        headers = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
        assert sandbox.call("GET", "/v1/charges", key=None, headers=headers).status == status
    assert sandbox.call("GET", "/v1/charges", key=None, headers={"Authorization": "Basic !"}).status == 401


GOOD = {"amount": "1000", "currency": "eur"}


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"currency": "eur"}, "parameter_missing", "amount"),
        ({"amount": "1000"}, "parameter_missing", "currency"),
        (GOOD | {"amount": "ten"}, "parameter_invalid_integer", "amount"),
        (GOOD | {"amount": "10.5"}, "parameter_invalid_integer", "amount"),
        (GOOD | {"amount": "0"}, "parameter_invalid_integer", "amount"),
        (GOOD | {"amount": "-5"}, "parameter_invalid_integer", "amount"),
        (GOOD | {"amount": "100000000"}, "amount_too_large", "amount"),
        (GOOD | {"amount": ""}, "parameter_invalid_empty", "amount"),
        (GOOD | {"amount[0]": "5"}, None, "amount"),
        (GOOD | {"currency": "EUR"}, None, "currency"),
        (GOOD | {"currency": "zzz"}, None, "currency"),
        (GOOD | {"colour": "red"}, "parameter_unknown", "colour"),
        (GOOD | {"customer": "cus_1"}, "parameter_unknown", "customer"),
        (GOOD | {"payment_method_data[card][number]": "4242"}, "parameter_unknown", None),
        (GOOD | {"payment_method_types[]": "ideal"}, None, "payment_method_types"),
        (GOOD | {"payment_method_types": "card"}, None, "payment_method_types"),
        (GOOD | {"capture_method": "manual"}, None, "capture_method"),
        (GOOD | {"confirm": "yes"}, None, "confirm"),
        (GOOD | {"metadata": "x"}, None, "metadata"),
        (GOOD | {"metadata[" + "k" * 41 + "]": "x"}, None, "metadata"),
        (GOOD | {"metadata[k]": "x" * 501}, None, "metadata"),
        (GOOD | {f"metadata[k{n}]": "x" for n in range(51)}, None, "metadata"),
        (GOOD | {"description": "x" * 5001}, None, "description"),
    ],
)
def test_bad_parameters(sandbox: Sandbox, form: dict[str, str], code: str | None, param: str | None) -> None:
    before = sandbox.state()["payment_intents"]
    answer = sandbox.call("POST", "/v1/payment_intents", form)
    assert answer.status == 400
    error = answer.body["error"]
    assert (error["type"], error.get("code")) == ("invalid_request_error", code)
    assert param is None or error["param"] == param
    assert sandbox.state()["payment_intents"] == before


def test_the_sdk_names_the_unknown_parameter(sandbox: Sandbox) -> None:
    parameters: Any = {"amount": 1000, "currency": "eur", "colour": "red"}
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        sandbox.intents.create(parameters)
    assert (unknown.value.code, unknown.value.param) == ("parameter_unknown", "colour")


def test_both_ways_to_send_an_array(sandbox: Sandbox) -> None:
    for name in ("payment_method_types[]", "payment_method_types[0]"):
        answer = sandbox.call("POST", "/v1/payment_intents", GOOD | {name: "card", "metadata[a b&c=é]": "1 & 2=é"})
        assert (answer.status, answer.body["metadata"]) == (200, {"a b&c=é": "1 & 2=é"})


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "colour=red", "created[since]=1", "starting_after=a&ending_before=b"]
)
def test_bad_lists(sandbox: Sandbox, query: str) -> None:
    assert sandbox.call("GET", f"/v1/payment_intents?{query}").status == 400


def test_bad_bodies(sandbox: Sandbox) -> None:
    path, json_type = "/v1/payment_intents", {"Content-Type": "application/json"}
    assert sandbox.call("POST", path, b'{"amount": 1000}', headers=json_type).status == 400
    for body, status in [
        (b"amount=%ff", 400),
        (b"\xff", 400),
        (b"&".join(b"a=1" for _ in range(501)), 400),
        (b"description=" + b"x" * 70_000, 413),
    ]:
        answer = sandbox.call("POST", path, body)
        assert (answer.status, answer.body["error"]["type"]) == (status, "invalid_request_error"), body[:20]


def test_unknown_urls(sandbox: Sandbox) -> None:
    for method, path in [("GET", "/v1/customers"), ("DELETE", "/v1/charges"), ("POST", "/v1/charges")]:
        answer = sandbox.call(method, path)
        assert (answer.status, answer.body["error"]["type"]) == (404, "invalid_request_error")


def test_headers(sandbox: Sandbox) -> None:
    first, second = (sandbox.call("GET", "/v1/charges").headers for _ in range(2))
    assert first["Request-Id"].startswith("req_")
    assert first["Request-Id"] != second["Request-Id"]
    assert first["Stripe-Version"]
    for asked, answered in (("2024-06-20", "2024-06-20"), ("\xe9", first["Stripe-Version"])):
        version = sandbox.call("GET", "/v1/charges", headers={"Stripe-Version": asked}).headers["Stripe-Version"]
        assert version == answered
    assert sandbox.call("GET", "/v1/charges/ch_x").headers["Request-Id"].startswith("req_")


def test_state_sums_up(sandbox: Sandbox) -> None:
    before = sandbox.state()
    intent = sandbox.new_intent(700, payment_method="pm_card_visa", confirm=True, currency="nok")
    with pytest.raises(stripe.CardError):
        sandbox.new_intent(payment_method="pm_card_chargeDeclined", confirm=True)
    sandbox.stripe.v1.refunds.create({"payment_intent": intent.id, "amount": 200})
    after = sandbox.state()
    assert after["payment_intents"] == before["payment_intents"] + 2
    assert after["statuses"]["succeeded"] == before["statuses"].get("succeeded", 0) + 1
    assert after["charges"]["succeeded"] == before["charges"]["succeeded"] + 1
    assert after["charges"]["failed"] == before["charges"]["failed"] + 1
    assert after["captured"]["nok"] == before["captured"].get("nok", 0) + 700
    assert after["refunded"]["nok"] == before["refunded"].get("nok", 0) + 200
    assert sum(after["statuses"].values()) == after["payment_intents"]

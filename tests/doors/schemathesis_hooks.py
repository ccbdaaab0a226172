"""What Schemathesis cannot know: who is signed in, and the rules between values that JSON Schema cannot say.

Only requests that are meant to be accepted are steered, each for the reason given; what is meant to be refused goes out
as it was made up.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import requests
import schemathesis

from domain.listing import MAX_LINE
from tests.api.house import PASSWORD
from tests.api.test_api_webhooks import sign

API = os.environ["STAGEDOOR_TRIED_URL"]

ENDS_ITS_SESSION = ("DELETE /api/users/currentuser", "POST /api/users/signout")
"""Tried with an account of their own each time, or everything after them would be answered 401."""

STRIPES_TYPES = (
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "refund.created",
    "customer.created",
)

FILTERS = {"q", "category", "venue", "promoter"}

_numbers = itertools.count()


def new_token() -> str:
    """The access token of a new account."""
    body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD, "name": "Schemathesis"}
    answer = requests.post(f"{API}/api/users/signup", json=body, timeout=10)
    answer.raise_for_status()
    token: str = answer.json()["access_token"]
    return token


@schemathesis.auth(refresh_interval=None)
class SignedIn:
    """One account for the whole run."""

    _token: str | None = None

    def get(self, case: schemathesis.Case, ctx: schemathesis.AuthContext) -> str:
        if case.operation.label in ENDS_ITS_SESSION:
            return new_token()
        if SignedIn._token is None:
            SignedIn._token = new_token()
        return SignedIn._token

    def set(self, case: schemathesis.Case, data: str, ctx: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(ctx: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Steers what is meant to be accepted."""
    if case.operation.path.endswith("/live") and isinstance(case.query, dict):
        case.query.setdefault("seconds", 0)  # a stream is tried with what it tells first
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "Idempotency-Key" in (case.headers or {}):
        # A key that comes again with another body is refused, and some keys are made up often.
        case.headers["Idempotency-Key"] = f"{case.headers['Idempotency-Key'][:150]}{next(_numbers)}"
    query = case.query if isinstance(case.query, dict) else {}
    query.pop("cursor", None)  # opaque: good is only one that a list has answered
    if "currency" in query:
        query["currency"] = "EUR"  # which codes of three letters are currencies is the domain's list
    if case.operation.path.endswith("/analytics/sales") and {"from", "to"} & query.keys():
        query |= {"from": "2026-01-01T00:00:00Z", "to": "2026-01-05T00:00:00Z"}  # in this order, and not far apart
    for name in FILTERS & query.keys():
        query[name] = str(query[name])[:MAX_LINE]  # beside a pattern that looks ahead, maxLength is not always kept
    if isinstance(case.body, dict):
        case.body = _whole(case.body)
        if (steer := STEERED.get(case.operation.label)) is not None:
            steer(case)


def _whole(value: Any) -> Any:
    """JSON Schema calls 5.0 a whole number; the API does not, since there are no fractions of a ticket or a cent."""
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _address(case: schemathesis.Case) -> None:
    """That it looks like an address is more than a pattern says."""
    case.body["email"] = f"{uuid4().hex}@example.org"


def _own_account(case: schemathesis.Case) -> None:
    """A new address or password needs the present one; the account keeps its own, so that it can go on."""
    body = case.body
    if "email" in body or "password" in body:
        body["current_password"] = PASSWORD
    if "email" in body:
        _address(case)
    if "password" in body:
        body["password"] = PASSWORD


def _offer(case: schemathesis.Case) -> None:
    """Which codes of three letters are currencies is the domain's list, and a time has no pattern for its years."""
    if isinstance(case.body.get("price"), dict):
        case.body["price"]["currency"] = "EUR"
    if isinstance(case.body.get("event"), dict):
        case.body["event"]["starts_at"] = "2999-12-31T23:59:59Z"
    if case.body.get("refund_until") is not None:
        case.body["refund_until"] = "2999-12-31T23:59:59Z"
    if "refund_fee" in case.body:
        case.body["refund_fee"] = 0  # at most the price, which may be 0


def _each_once(case: schemathesis.Case) -> None:
    """No ticket stands in an order, or in a refund, twice."""
    if case.body.get("items"):
        case.body["items"] = list({item["ticket_id"]: item for item in case.body["items"]}.values())


def _card(case: schemathesis.Case) -> None:
    """Which payment methods there are only Stripe knows."""
    if case.body.get("payment_method") is not None:
        case.body["payment_method"] = "pm_card_visa"


def _signed(case: schemathesis.Case) -> None:
    """What is not signed as by Stripe is refused whatever it says; and few kinds of event are read to their end."""
    case.body["type"] = random.choice(STRIPES_TYPES)
    case.headers["Stripe-Signature"] = sign(json.dumps(case.body).encode())


STEERED: dict[str, Callable[[schemathesis.Case], None]] = {
    "POST /api/users/signup": _address,
    "PATCH /api/users/currentuser": _own_account,
    "POST /api/tickets": _offer,
    "PATCH /api/tickets/{ticket_id}": _offer,
    "POST /api/orders": _each_once,
    "POST /api/orders/{order_id}/refund": _each_once,
    "POST /api/payments": _card,
    "POST /api/webhooks/stripe": _signed,
}

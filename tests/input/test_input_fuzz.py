"""Arbitrary bytes and JSON into every reader of what comes from outside: a value or a refusal, never anything else."""

from __future__ import annotations

import copy
import hmac
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

import msgspec
import pytest
import stripe
from aiohttp.test_utils import make_mocked_request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.stripe_signature import BadSignature
from adapters.stripe_webhooks import parse_webhook
from api import bodies
from api.emails import checked
from api.models import Model
from api.problems import Refused
from api.query_models import TicketQuery
from projections.cursor import BadCursor, decode_cursor, encode_cursor
from projections.search import question
from tests.api.house import House
from tests.input.shapes import GOOD, MODELS, NASTY, at, leaves

SECRET = "whsec_fuzz"
FEW, MANY = 60, 5_000

T = TypeVar("T")

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([v for v in NASTY if v != "\ud83d"])
)
_json = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
_bytes = st.binary(max_size=300) | _json.map(msgspec.json.encode)
_model = st.sampled_from(MODELS)


def fuzz(examples: int) -> Callable[[Any], Any]:
    """The same few examples with every run; many new ones with `-m long`."""
    return settings(
        max_examples=examples,
        derandomize=examples == FEW,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


LONG = pytest.param(MANY, marks=pytest.mark.long)
both = pytest.mark.parametrize("examples", [FEW, LONG])


def run(examples: int, test: Callable[..., None], *strategies: Any) -> None:
    fuzz(examples)(given(*strategies)(test))()


def read(reader: Callable[[], T]) -> T | None:
    """What a reader made of it; None when it was refused."""
    try:
        return reader()
    except Refused as error:
        refused = error
    assert refused.code in ("bad_json", "validation_failed")
    assert (refused.code == "bad_json") == (not refused.errors)
    return None


def taken(model: type[Model], raw: bytes) -> Model | None:
    """A body."""
    return read(lambda: bodies.decode(model, raw))


@both
def test_any_bytes_as_any_body(examples: int) -> None:
    def test(model: type[Model], raw: bytes) -> None:
        taken(model, raw)

    run(examples, test, _model, _bytes)


TOKENS = [
    b"1E400",
    b"null",
    b'"\\u0000"',
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b'"',
    b"\\",
    b"9" * 5_000,
    b"-1",
    b"\xff",
]


@both
def test_a_good_body_with_something_else_in_it(examples: int) -> None:
    def test(model: type[Model], cuts: list[tuple[float, int, bytes]]) -> None:
        raw = bytearray(msgspec.json.encode(GOOD[model.__name__]))
        for place, length, token in cuts:
            at_byte = int(place * len(raw))
            raw[at_byte : at_byte + length] = token
        taken(model, bytes(raw))

    cut = st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(TOKENS))
    run(examples * 3, test, _model, st.lists(cut, min_size=1, max_size=3))


@st.composite
def _nearly_good(draw: Any) -> tuple[type[Model], Any]:
    """A good body with another value in a place or two."""
    model = draw(_model)
    body = copy.deepcopy(GOOD[model.__name__])
    places = [leaf.place for leaf in leaves(model)]
    for place in draw(st.lists(st.sampled_from(places), min_size=1, max_size=2, unique=True)):
        at(body, place[:-1])[place[-1]] = draw(_json)
    return model, body


@both
def test_what_is_taken_comes_back_the_same(examples: int) -> None:
    def test(made: tuple[type[Model], Any]) -> None:
        model, body = made
        one = taken(model, msgspec.json.encode(body))
        if one is not None:
            assert bodies.decode(model, msgspec.json.encode(one)) == one

    run(examples * 2, test, _nearly_good())


@both
def test_it_reads_what_msgspec_reads(examples: int) -> None:
    """In ASCII and without a name twice there is no difference to reading the model at once."""

    def test(made: tuple[type[Model], Any]) -> None:
        model, body = made
        raw = msgspec.json.encode(body)
        if raw.isascii() and b"\\u" not in raw:
            try:
                plain = msgspec.json.decode(raw, type=model)
            except msgspec.DecodeError:
                plain = None
            assert taken(model, raw) == plain

    run(examples * 2, test, _nearly_good())


@both
def test_any_query(examples: int) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(TicketQuery)]

    def test(given_pairs: list[tuple[str, str]]) -> None:
        query = "&".join(f"{quote(name)}={quote(value)}" for name, value in given_pairs)
        request = make_mocked_request("GET", f"/api/tickets?{query}")
        found = read(lambda: bodies.query(request, TicketQuery))
        if found is not None:
            facets = {name: value for name in ("category", "venue", "promoter") if (value := getattr(found, name))}
            assert "\0" not in (question(found.q, facets) or "")

    run(
        examples,
        test,
        st.lists(st.tuples(st.sampled_from(names) | st.text(), st.text() | _scalars.map(str)), max_size=4),
    )


@both
def test_any_bytes_as_a_webhook(examples: int) -> None:
    def test(raw: bytes, header: str) -> None:
        with pytest.raises(BadSignature):
            parse_webhook(raw, header, [SECRET], live=False)

    run(examples, test, _bytes, st.text() | st.from_regex(r"(t=[0-9]{1,20}|v[01]=[0-9a-f]{0,64}|,){0,8}"))


@both
def test_any_signed_webhook(examples: int) -> None:
    kinds = ["payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled", "refund.created"]

    def test(raw: bytes, kind: str, subject: Any, more: dict[str, Any]) -> None:
        intent = {"id": "pi_1", "status": "succeeded", "amount": 1, "currency": "isk", "latest_charge": "ch_1"}
        event = {"id": "evt_1", "type": kind, "data": {"object": subject if raw else intent | more}}
        for signed in (raw, msgspec.json.encode(event)):
            digest = signature(signed)
            parse_webhook(signed, digest, ["whsec_other", SECRET], live=False)

    fields = st.sampled_from(
        ["amount", "currency", "metadata", "last_payment_error", "charge", "amount_received", "status"]
    )
    run(examples, test, _bytes, st.sampled_from(kinds), _json, st.dictionaries(fields, _json, max_size=3))


def signature(raw: bytes, secret: str = SECRET, age_seconds: float = 0) -> str:
    """As Stripe signs, over bytes of any kind."""
    now = int(time.time() - age_seconds)
    return f"t={now},v1={hmac.digest(secret.encode(), f'{now}.'.encode() + raw, 'sha256').hex()}"


def test_it_is_how_stripe_signs() -> None:
    raw = b'{"id": "evt_1"}'
    stripe.WebhookSignature.verify_header(raw, signature(raw), SECRET, 300)


@both
def test_any_address(examples: int) -> None:
    def test(email: str) -> None:
        address = read(lambda: checked(email, "email"))
        if address is not None:
            assert checked(address, "email") == address

    run(examples, test, st.text() | st.emails() | st.from_regex(r"[^@\s]{1,9}@[^\s]{1,9}\.[^\s]{1,5}"))


@both
def test_any_cursor(examples: int) -> None:
    def test(cursor: str) -> None:
        with pytest.raises(BadCursor):
            decode_cursor(cursor, "price", int)

    run(examples, test, st.text() | st.from_regex(r"\A[A-Za-z0-9_-]{0,60}\Z"))


@pytest.mark.parametrize(
    ("sort", "value", "kind"),
    [
        ("title", "a\0b", str),
        ("price", 2**63, int),
        ("price", -(2**80), int),
        ("created_at", "2030-07-14T19:00:00", datetime),
        ("created_at", 5, datetime),
    ],
)
def test_a_forged_cursor_asks_for_nothing_that_no_row_can_have(sort: str, value: Any, kind: Any) -> None:
    forged = encode_cursor(sort, value, UUID(int=0))
    with pytest.raises(BadCursor):
        decode_cursor(forged, sort, kind)


async def test_a_forged_cursor_is_the_clients_fault(house: House) -> None:
    for sort, value in (("title", "a\0b"), ("-price", 2**70), ("starts_at", "2030-07-14T19:00:00")):
        cursor = encode_cursor(sort, value, UUID(int=0))
        answer = await house.call("GET", f"/tickets?sort={sort}&cursor={cursor}")
        assert (answer.status, answer.fields) == (422, ["cursor"])

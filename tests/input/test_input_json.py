"""JSON as it is read here: numbers, names given twice, depth, encodings, what follows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api import bodies
from api.json_tree import MAX_DEPTH
from api.models import Credentials, NewOrder, NewTicket, Price
from api.problems import Refused
from tests.input.shapes import GOOD, ID

PRICE = '{"amount": %s, "currency": "EUR"}'


def outcome(model: Any, raw: str | bytes) -> tuple[str, list[str]] | Any:
    """The body, or the code and the fields it is refused with."""
    try:
        return bodies.decode(model, raw.encode() if isinstance(raw, str) else raw)
    except Refused as error:
        return error.code, [one.field for one in error.errors]


@pytest.mark.parametrize("number", ["1", "0", "-0", "99999999", "1 "])
def test_whole_numbers(number: str) -> None:
    assert outcome(Price, PRICE % number) == Price(int(number), "EUR")


@pytest.mark.parametrize(
    "number",
    ["1.0", "1e2", "1E400", "-1E400", "1e-400", "100000000", "9" * 30, "9" * 5_000, "-1", "true", "null", '"1"', "[1]"],
)
def test_what_is_no_whole_number_within_bounds(number: str) -> None:
    assert outcome(Price, PRICE % number) == ("validation_failed", ["amount"])


def test_a_number_beyond_all_bounds_behind_another_fault() -> None:
    assert outcome(NewTicket, '{"title": "a\\u0000", "quantity": 1E400}') == ("validation_failed", ["title"])
    assert outcome(NewTicket, '{"x": 1E400}') == ("validation_failed", ["x"])
    assert outcome(NewTicket, '{"title": "a", "quantity": 1E400, ') == ("validation_failed", ["quantity"])
    assert outcome(NewTicket, "[1E400]") == ("validation_failed", ["body"])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "01", "+1", "1.", ".5", "0x1", "1_0", "١"])
def test_what_is_no_json_number(number: str) -> None:
    assert outcome(Price, PRICE % number) == ("bad_json", [])


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ('{"email": "a@b.c", "password": "x", "email": "d@e.f"}', "email"),
        ('{"email": "a@b.c", "password": "x", "\\u0065mail": "d@e.f"}', "email"),
        ('{"email": "a:b", "password": "x:y", "x": 1, "x": 2}', "x"),
        ('{"email": "\\"email\\": \\\\", "password": ":", "email":"d"}', "email"),
    ],
)
def test_a_name_given_twice_is_refused(raw: str, name: str) -> None:
    assert outcome(Credentials, raw) == ("validation_failed", [name])


def test_a_name_given_twice_further_down() -> None:
    raw = f'{{"items": [{{"ticket_id": "{ID}", "quantity": 1, "quantity": 100}}]}}'
    assert outcome(NewOrder, raw) == ("validation_failed", ["quantity"])


def test_colons_in_texts_are_no_members() -> None:
    body = GOOD["NewTicket"] | {"title": 'a": 1, "title', "description": "12:00 \\ : \" '\n:"}
    taken = bodies.decode(NewTicket, msgspec.json.encode(body))
    assert (taken.title, taken.description) == (body["title"], body["description"])


def test_depth_is_bounded() -> None:
    for depth, code in ((1, "validation_failed"), (MAX_DEPTH, "validation_failed"), (MAX_DEPTH + 1, "bad_json")):
        assert outcome(Price, "[" * depth + "]" * depth)[0] == code
        assert outcome(Price, '{"a":' * depth + "1" + "}" * depth)[0] == code
    assert outcome(Price, "[" * 30_000 + "]" * 30_000) == ("bad_json", [])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_json_is_utf_8_without_a_mark(encoding: str) -> None:
    raw = (PRICE % 1).replace("EUR", "ÜÜÜ").encode(encoding)
    assert outcome(Price, raw) == ("bad_json", [])


@pytest.mark.parametrize("rest", ["x", "{}", "\x00", ",", "]", "\ufeff", "//"])
def test_nothing_follows_a_body(rest: str) -> None:
    assert outcome(Price, PRICE % 1 + rest) == ("bad_json", [])


@pytest.mark.parametrize("text", [r'"\ud83d"', r'"\ude00\ud83d"', '"\t"', r'"\x41"', '"\x00"', r'"\u12"', '"'])
def test_what_is_no_json_text(text: str) -> None:
    assert outcome(Credentials, f'{{"email": "a@b.c", "password": {text}}}') == ("bad_json", [])

"""Text: one Unicode form, no character that hides or turns text, and scripts and emoji as people write them."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec
import pytest

from adapters.passwords import Passwords
from api import bodies, text
from api.models import AccountChanges, NewTicket
from api.problems import Refused
from projections.search import listing_terms, question, words
from tests.api.house import EVENT, PASSWORD, House
from tests.domain.scenes import listing
from tests.input.shapes import ENDS, GOOD, MODELS, UNTEXT, Leaf, changed, leaves

TEXTS = [(model, leaf) for model in MODELS for leaf in leaves(model) if leaf.is_text]


def refused(model: Any, body: object) -> list[str]:
    """The fields a body is refused for."""
    with pytest.raises(Refused) as caught:
        bodies.decode(model, msgspec.json.encode(body))
    assert caught.value.code == "validation_failed"
    return [error.field for error in caught.value.errors]


def name(value: str) -> str:
    """What the edge makes of a name."""
    taken = bodies.decode(AccountChanges, b'{"name": "%s"}' % value.encode()).name
    assert isinstance(taken, str)
    return taken


@pytest.mark.parametrize(("model", "leaf"), TEXTS, ids=lambda one: getattr(one, "__name__", getattr(one, "name", "")))
def test_no_text_takes_what_hides_or_turns_text(model: Any, leaf: Leaf) -> None:
    """Every text of every body, from the models."""
    for untext in UNTEXT:
        assert refused(model, changed(model, leaf.place, f"correct horse {untext}")) == [leaf.name]


@pytest.mark.parametrize(("model", "leaf"), TEXTS, ids=lambda one: getattr(one, "__name__", getattr(one, "name", "")))
def test_only_descriptions_have_line_ends(model: Any, leaf: Leaf) -> None:
    good = GOOD[model.__name__]
    for step in leaf.place:
        good = good[step]
    for end in ENDS:
        body = changed(model, leaf.place, f"{good}{end}")
        if leaf.name == "description" and end != "\u2028":
            assert bodies.decode(model, msgspec.json.encode(body))
        else:
            assert refused(model, body) == [leaf.name]


def test_what_is_refused_is_what_unicode_says_is_not_seen_or_turns_text() -> None:
    """The table against Python's Unicode database: controls, separators of lines, formats and noncharacters."""
    shown = re.compile(text.SOME_LINES)
    visible = {0x0600, 0x0601, 0x0602, 0x0603, 0x0604, 0x0605, 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD}
    hieroglyphs = set(range(0x13430, 0x13440))
    allowed = {0x9, 0xA, 0xD, 0x61C, 0x200E, 0x200F} | visible | hieroglyphs
    for point in (*range(0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE1000), 0x10FFFE, 0x10FFFF):
        category = unicodedata.category(chr(point))
        is_nonchar = point & 0xFFFE == 0xFFFE or 0xFDD0 <= point <= 0xFDEF
        if category in ("Cc", "Cf", "Zl", "Zp") or is_nonchar:
            assert (shown.search(f"é {chr(point)}") is not None) == (point in allowed), hex(point)


@pytest.mark.parametrize(
    "value",
    [
        "Zoë", "Jean-Luc O’Brien", "李 小龍", "葛\U000e0100城", "קרן 2026!\u200f", "موسى", "می\u200cخواهم", "क्\u200dष",
        "👩\u200d👩\u200d👧\u200d👦", "🏳\ufe0f\u200d🌈", "❤\ufe0f", "🇲🇽", "1\ufe0f\u20e3", "👍🏽", "x" * 200, "Ⅷ",
    ],
)  # fmt: skip
def test_what_people_write_is_taken_as_it_is(value: str) -> None:
    assert name(value) == value


def test_lengths_are_those_of_the_normal_form() -> None:
    assert name("e\u0301" * 200) == "é" * 200
    assert name("\u0958" * 100) == "\u0915\u093c" * 100
    with pytest.raises(Refused, match="validation_failed"):
        name("\u0958" * 101)


@pytest.mark.parametrize("blank", [" ", "\u3000", "\u00a0\u2003", "\u2800", "\u200e", "\ufe0f"])
def test_what_shows_nothing_is_blank(blank: str) -> None:
    assert refused(AccountChanges, {"name": blank}) == ["name"]


def test_a_refusal_names_the_character() -> None:
    with pytest.raises(Refused) as caught:
        name("Ann\u202egpj.exe")
    assert caught.value.detail == "name: has U+202E, which is not allowed here"


async def test_a_listing_is_kept_in_one_form_and_found_by_any(house: House) -> None:
    seller = await house.person()
    ticket = await house.listing(seller, title="Cafe\u0301 chantant", event=EVENT | {"venue": "Ō\u200cno"})
    assert (ticket["title"], ticket["event"]["venue"]) == ("Café chantant", "Ō\u200cno")
    await house.project()
    for query in ("q=caf%C3%A9", "q=cafe%CC%81", "q=CAFE", "venue=O%CC%84no", "venue=%C5%8C%E2%80%8Cno"):
        found = (await house.call("GET", f"/tickets?{query}")).body["items"]
        assert [one["id"] for one in found] == [ticket["id"]], query
    for bad in ("%00", "%C2%85", "%E2%80%AE", "%0A"):
        answer = await house.call("GET", f"/tickets?q=cafe{bad}")
        assert (answer.status, answer.fields) == (422, ["q"])


def test_joiners_marks_and_selectors_are_within_a_word() -> None:
    assert words("می\u200cخواهم") == words("میخواهم")
    assert words("葛\U000e0100城") == words("葛城")
    assert question("Mu\u0308ller", {}) == question("Müller\u200e", {})
    assert listing_terms(listing(title="الف\u200fب")) == listing_terms(listing(title="الفب"))


async def test_a_password_is_the_same_from_every_keyboard_and_otherwise_as_it_is() -> None:
    """RFC 8265, section 4.2."""
    passwords = Passwords()
    try:
        kept = await passwords.hash("pa\u00a0ss Wörd ﬁ")
        assert await passwords.verify(kept, "pa ss Wo\u0308rd ﬁ")
        for other in ("pa ss wörd ﬁ", "pa ss Wörd fi", "pa ss Ｗörd ﬁ", "pa ss Word ﬁ"):
            assert not await passwords.verify(kept, other)
    finally:
        passwords.close()


async def test_signing_in_with_the_other_form_of_a_password(house: House) -> None:
    email = "ann@example.org"
    new = {"email": email, "password": f"{PASSWORD} e\u0301", "name": "Ann"}
    assert (await house.call("POST", "/users/signup", new)).status == 201
    for password, status in ((f"{PASSWORD} é", 200), (f"{PASSWORD} É", 401), (f"{PASSWORD} e", 401)):
        answer = await house.call("POST", "/users/signin", {"email": email, "password": password})
        assert answer.status == status


async def test_an_address_with_something_unseen_in_it_is_nobodys(house: House) -> None:
    for local in ("a\u200dnn", "ann\u200e", "é\u200dnn", "a\ufe0fnn"):
        body = {"email": f"{local}@example.org", "password": PASSWORD, "name": "Ann"}
        answer = await house.call("POST", "/users/signup", body)
        assert (answer.status, answer.fields) == (422, ["email"])


def test_the_patterns_are_read_alike_by_ecmascript() -> None:
    """No escape that only Python knows: OpenAPI's patterns are ECMA-262."""
    for pattern in (text.ONE_LINE, text.SOME_LINES, text.SEEN_LINE, text.PLAIN_LINE):
        assert set(re.findall(r"\\(.)", pattern)) <= set("xustnrS")
        assert "(?P" not in pattern


def test_a_good_body_is_good() -> None:
    """What the other tests change is taken as it is."""
    assert {NewTicket, AccountChanges} <= set(MODELS)
    for model in MODELS:
        assert bodies.decode(model, msgspec.json.encode(GOOD[model.__name__]))

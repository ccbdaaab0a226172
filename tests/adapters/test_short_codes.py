"""Codes that are typed: what is mistyped is noticed, what looks alike is read as what was meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.house_key import HouseKey
from adapters.short_codes import _DIGITS, Place, ShortCodes
from adapters.ticket_codes import NotATicket

CODES = ShortCodes(HouseKey(bytes(32)))
PLACES = st.builds(Place, st.integers(1, 2**63 - 1), st.integers(0, 19), st.integers(1, 100))


@given(PLACES)
def test_what_was_made_is_read(place: Place) -> None:
    code = CODES.make(place)
    assert CODES.read(code) == place
    assert CODES.read(f" {code.lower().replace('-', ' ')} ") == place


def test_it_is_short() -> None:
    assert len(CODES.make(Place(8_000_000, 19, 100)).replace("-", "")) == 12
    assert len(CODES.make(Place(250_000_000, 19, 100)).replace("-", "")) == 13


def test_what_looks_alike_is_what_was_meant() -> None:
    place = next(place for place in (Place(n, 0, 1) for n in range(1, 10_000)) if {"1", "0"} <= set(CODES.make(place)))
    code = CODES.make(place)
    assert CODES.read(code.replace("0", "o").replace("1", "l")) == place
    assert CODES.read(code.replace("0", "O").replace("1", "I")) == place


@given(PLACES, st.data())
def test_a_wrong_character_is_noticed(place: Place, data: st.DataObject) -> None:
    code = CODES.make(place).replace("-", "")
    at = data.draw(st.integers(0, len(code) - 1))
    other = data.draw(st.sampled_from([digit for digit in _DIGITS if digit != code[at]]))
    with pytest.raises(NotATicket):
        CODES.read(code[:at] + other + code[at + 1 :])


@pytest.mark.parametrize("code", ["", "-", "K7QM", "UUUU-UUUU-UUUU", "0000-0000-0000", "0" * 21, "é" * 12, "١" * 12])
def test_rubbish(code: str) -> None:
    with pytest.raises(NotATicket):
        CODES.read(code)


def test_another_house_proves_otherwise() -> None:
    with pytest.raises(NotATicket):
        ShortCodes(HouseKey(bytes([1]) * 32)).read(CODES.make(Place(7, 0, 1)))


def test_codes_stay_good_for_ever() -> None:
    """Tickets that were printed: this is what the first version made."""
    assert CODES.make(Place(123_456, 3, 7)) == "0F28-0C6C-HA59"

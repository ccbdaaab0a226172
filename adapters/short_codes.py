"""The code of a ticket for those who have to type it, or to say it: `K7QM-4P2X-9DHJ`.

It is a number in Crockford's Base32 (crockford.com/base32.html: no I, L, O, U; small letters, and the look-alikes I, L
and O, are read as what was meant), then five more characters that only the house can make:

    position of the order's first event in the log | place in the order, 5 bits | number - 1, 7 bits

At least 12 characters, one more each time the log grows by 32 times beyond eight million events. Unlike the signed code
(`adapters/ticket_codes.py`) it means nothing to a door without network.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from adapters.house_key import HouseKey
from adapters.ticket_codes import NotATicket

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MEANT = str.maketrans("ILO", "110", " -")
_BITS = 5
_PLACE_BITS, _NUMBER_BITS = 5, 7
_LEAST, _MOST, _MARK = 7, 15, 5
"""Characters: of the number (15 hold any position of a log), and of what proves it. 25 bits are few for a secret, and
enough for what is tried at a door, by somebody signed in, against the tickets of that door."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ticket is found."""

    position: int
    """Of the order's first event in the log."""
    item: int
    """Which of the order's items, from 0."""
    number: int
    """Which of the tickets of that item, from 1."""


class ShortCodes:
    """Makes them and reads them, with a key that is derived from the house key."""

    def __init__(self, house_key: HouseKey) -> None:
        self._key = house_key.short_codes

    def make(self, place: Place) -> str:
        """In groups of four."""
        assert 0 <= place.item < 1 << _PLACE_BITS
        assert 1 <= place.number <= 1 << _NUMBER_BITS
        value = (place.position << _PLACE_BITS | place.item) << _NUMBER_BITS | place.number - 1
        code = _encoded(value, max(_LEAST, -(-value.bit_length() // _BITS)))
        code += self._mark(code)
        return "-".join(code[start : start + 4] for start in range(0, len(code), 4))

    def read(self, text: str) -> Place:
        """What a code says, however it was typed. Raises `NotATicket`."""
        code = text.upper().translate(_MEANT)
        known, mark = code[:-_MARK], code[-_MARK:]
        if not _LEAST <= len(known) <= _MOST or not set(code) <= set(_DIGITS):
            raise NotATicket("it is no code of a ticket")
        if not hmac.compare_digest(mark, self._mark(known)):
            raise NotATicket("it is mistyped, or not of this house")
        value = 0
        for digit in known:
            value = value << _BITS | _DIGITS.index(digit)
        item = value >> _NUMBER_BITS & (1 << _PLACE_BITS) - 1
        return Place(value >> _NUMBER_BITS + _PLACE_BITS, item, (value & (1 << _NUMBER_BITS) - 1) + 1)

    def _mark(self, code: str) -> str:
        found = int.from_bytes(hmac.digest(self._key, code.encode(), "sha256")[:4])
        return _encoded(found >> 32 - _BITS * _MARK, _MARK)


def _encoded(value: int, digits: int) -> str:
    return "".join(_DIGITS[value >> _BITS * place & (1 << _BITS) - 1] for place in reversed(range(digits)))

"""Object ids and secrets with Stripe's prefixes.

An id is the prefix, nine base-62 digits of the moment in microseconds, and fifteen random characters: as long as
Stripe's, not to be guessed, and in the order of creation. The order lets a list page by id alone, and keeps new rows
at the end of their B-tree, so that writing stays cheap when the tables are large.
"""

from __future__ import annotations

import os
import time

# In ASCII order, so that comparing ids as text compares the moments in them.
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MOMENT_DIGITS = 9
RANDOM_CHARACTERS = 15
# One random byte makes one character. 256 is no multiple of 62, so eight characters come up slightly more often: about
# 5.9 bits a character are left, more than enough at these lengths.
_FROM_BYTE = bytes(ord(_DIGITS[byte % 62]) for byte in range(256))


def random_text(length: int) -> str:
    """Letters and digits from the operating system's random source."""
    return os.urandom(length).translate(_FROM_BYTE).decode("ascii")


def moment_text(identifier: str) -> str:
    """The digits of the moment in an id made by `Ids`."""
    return identifier.partition("_")[2][:_MOMENT_DIGITS]


def moment_of(identifier: str) -> int:
    """The microseconds in an id made by `Ids`. Raises ValueError for any other text."""
    moment = 0
    for digit in moment_text(identifier):
        moment = moment * 62 + _DIGITS.index(digit)
    return moment


class Ids:
    """Makes ids that only grow, even when the clock is set back."""

    def __init__(self, after: int = 0) -> None:
        """`after`: the moment (microseconds) of the newest id already stored."""
        self._last = after

    def new(self, prefix: str) -> str:
        """A fresh id, such as `pi_0H8…`, greater than every id made before."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        left, digits = self._last, ""
        for _ in range(_MOMENT_DIGITS):
            left, digit = divmod(left, 62)
            digits = _DIGITS[digit] + digits
        return f"{prefix}_{digits}{random_text(RANDOM_CHARACTERS)}"

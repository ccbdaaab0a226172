"""Card numbers are Stripe's to take and never ours: whoever sends one is told so, and it goes no further.

Looked for where a payment method is named, and only there. Elsewhere sixteen digits are a barcode or the number of a
seat as well, and every tenth such number passes the card's check.
"""

from __future__ import annotations

import re

from api.problems import invalid

_NUMBER = re.compile(r"[0-9](?:[ -]?[0-9]){12,18}")
"""13 to 19 digits (ISO/IEC 7812-1), grouped or not."""


def refuse(text: str, field: str) -> None:
    """Raises `Refused` (422) for a text that holds a card number. The answer does not repeat it."""
    if any(_passes_check(found[0]) for found in _NUMBER.finditer(text)):
        raise invalid(field, "send no card numbers here: Stripe.js makes a payment method of a card")


def _passes_check(number: str) -> bool:
    """The check digit (ISO/IEC 7812-1, annex B; Luhn): every second digit from the right counts twice."""
    digits = [int(digit) for digit in reversed(number) if digit.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[1::2]]  # noqa: PLR2004 - 5 doubled has two digits
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0

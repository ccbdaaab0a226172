"""What one charge of a card may come to, in minor units of ISO 4217 (docs.stripe.com/currencies).

What Stripe would refuse is refused when it is offered or ordered, not when somebody pays. The smallest amount is left
to Stripe: it hangs on the currency the house is paid out in.
"""

from __future__ import annotations

from domain.money import MAX_AMOUNT, MINOR_UNITS

WITHOUT_CENTS = frozenset({"MGA"})
"""Have two decimal places in ISO 4217, and none at Stripe."""

WITH_CENTS = frozenset({"ISK", "UGX"})
"""Have no decimal places in ISO 4217, and two at Stripe, which are zero: two of its eight digits are lost."""

CENTS = 100
_THREE_PLACES = 3


def step_of(currency: str) -> int:
    """Every amount of the currency is a multiple of this. Of three decimal places cards take two."""
    if currency in WITHOUT_CENTS:
        return CENTS
    return 10 if MINOR_UNITS.get(currency) == _THREE_PLACES else 1


def largest_of(currency: str) -> int:
    """The largest amount of the currency."""
    return MAX_AMOUNT // CENTS if currency in WITH_CENTS else MAX_AMOUNT - MAX_AMOUNT % step_of(currency)

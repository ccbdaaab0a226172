"""Amounts as Stripe counts them: minor units of ISO 4217, but for a few currencies (docs.stripe.com/currencies)."""

from __future__ import annotations

import msgspec

from domain.charges import CENTS, WITH_CENTS, WITHOUT_CENTS, step_of
from domain.money import Money


def to_stripe(money: Money) -> int:
    """The amount for Stripe; `step_of` has been seen to before."""
    assert money.amount % step_of(money.currency) == 0, "such an amount is neither offered nor ordered"
    if money.currency in WITH_CENTS:
        return money.amount * CENTS
    return money.amount // CENTS if money.currency in WITHOUT_CENTS else money.amount


def from_stripe(amount: int, currency: str) -> Money:
    """The money of an amount and a currency, which Stripe writes in lower case.

    Raises:
        msgspec.ValidationError: no money is counted so.
    """
    code = currency.upper()
    if code in WITHOUT_CENTS:
        return Money(amount * CENTS, code)
    if code not in WITH_CENTS:
        return Money(amount, code)
    whole, cents = divmod(amount, CENTS)
    if cents:
        raise msgspec.ValidationError(f"{code} has no cents")
    return Money(whole, code)

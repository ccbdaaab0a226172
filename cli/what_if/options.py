"""The prices on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from uuid import UUID

import click

from domain.money import MAX_AMOUNT

MAX_FACTOR = 1_000
MAX_DIGITS = len(str(MAX_AMOUNT))


class Factor(click.ParamType):
    """A decimal number from 0 to `MAX_FACTOR`."""

    name = "factor"

    def convert(self, value: str | Decimal, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """See there. Fails (exit code 2) on anything else."""
        try:
            factor = Decimal(value)
        except InvalidOperation:
            self.fail(f"{value!r} is no number", param, ctx)
        if not factor.is_finite() or not 0 <= factor <= MAX_FACTOR:
            self.fail(f"{value!r}: expected 0 to {MAX_FACTOR}", param, ctx)
        return factor


class Price(click.ParamType):
    """`TICKET=AMOUNT`: a listing's id and a price in minor units."""

    name = "price"

    def convert(
        self, value: str | tuple[UUID, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[UUID, int]:
        """See there. Fails (exit code 2) on anything else."""
        if isinstance(value, tuple):
            return value
        ticket, _, amount = value.partition("=")
        # The length first: Python refuses to read a number of thousands of digits.
        if not (amount.isascii() and amount.isdigit()) or len(amount) > MAX_DIGITS or int(amount) > MAX_AMOUNT:
            self.fail(f"{value!r}: expected TICKET=AMOUNT with 0 to {MAX_AMOUNT} minor units", param, ctx)
        return click.UUID.convert(ticket, param, ctx), int(amount)


FACTOR, PRICE = Factor(), Price()


def prices_of(given: Sequence[tuple[UUID, int]]) -> dict[UUID, int]:
    """By listing.

    Raises:
        click.UsageError: a listing has two prices.
    """
    prices = dict(given)
    if len(prices) != len(given):
        raise click.UsageError("--price names a listing once")
    return prices

"""What a seller offers: the value object that a listing is made of and edited as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from domain.charges import largest_of, step_of
from domain.errors import Invalid
from domain.money import CURRENCIES, Money

MAX_QUANTITY = 1_000_000
"""More than any stadium holds."""

MAX_HOLD_SECONDS = 24 * 3600
"""A hold longer than a day would be a way to take a listing off the market."""

MAX_LINE = 200
"""Characters in a title, name, venue, promoter or category."""

MAX_DESCRIPTION = 5_000


@dataclass(frozen=True, slots=True)
class EventDetails:
    """The concert or match the tickets are for."""

    name: str
    starts_at: datetime
    venue: str
    promoter: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """One offer: so many tickets of one kind at one price."""

    title: str
    event: EventDetails
    price: Money
    quantity: int
    """All units ever offered: available + held + sold."""
    description: str | None = None
    hold_seconds: int | None = None
    """How long an unpaid order keeps its units; None: the house's default at the time of the order."""
    refund_until: datetime | None = None
    """Until then buyers may give tickets back by themselves; None: only the seller refunds."""
    refund_fee: int = 0
    """Of each ticket given back so, in minor units of the price's currency, kept by the seller."""
    resell_returned: bool = True
    """Whether what was refunded is on sale again."""

    def check(self) -> None:
        """Raises `Invalid` for the first field whose value no listing may have."""
        for field, text in (
            ("title", self.title),
            ("event.name", self.event.name),
            ("event.venue", self.event.venue),
            ("event.promoter", self.event.promoter),
            ("event.category", self.event.category),
        ):
            if text is not None and not (text.strip() and len(text) <= MAX_LINE):
                raise Invalid(field, f"expected 1 to {MAX_LINE} characters")
        if self.event.starts_at.tzinfo is None:
            raise Invalid("event.starts_at", "expected a time with an offset")
        self._check_price()
        if not 1 <= self.quantity <= MAX_QUANTITY:
            raise Invalid("quantity", f"expected 1 to {MAX_QUANTITY}")
        if self.description is not None and len(self.description) > MAX_DESCRIPTION:
            raise Invalid("description", f"expected at most {MAX_DESCRIPTION} characters")
        if self.hold_seconds is not None and not 1 <= self.hold_seconds <= MAX_HOLD_SECONDS:
            raise Invalid("hold_seconds", f"expected 1 to {MAX_HOLD_SECONDS} seconds")
        if self.refund_until is not None and self.refund_until.tzinfo is None:
            raise Invalid("refund_until", "expected a time with an offset")
        if not 0 <= self.refund_fee <= self.price.amount or self.refund_fee % step_of(self.price.currency):
            raise Invalid("refund_fee", "expected 0 to the price, in minor units that cards take")

    def _check_price(self) -> None:
        currency = self.price.currency
        if currency not in CURRENCIES:
            raise Invalid("price.currency", "expected an ISO 4217 code")
        if not 0 <= self.price.amount <= largest_of(currency):
            raise Invalid("price.amount", f"expected 0 to {largest_of(currency)} minor units")
        if self.price.amount % step_of(currency):
            raise Invalid("price.amount", f"cards take {currency} in steps of {step_of(currency)} minor units")

"""The types fields have, with their bounds: the domain's own, so that the OpenAPI document tells them.

The domain checks them again; what only the edge knows (lengths of names and passwords, pages) is decided here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from api.text import ONE_LINE, PLAIN_LINE, SEEN_LINE, SOME_LINES
from domain.listing import MAX_DESCRIPTION, MAX_HOLD_SECONDS, MAX_LINE, MAX_QUANTITY
from domain.money import MAX_AMOUNT

MAX_NAME, MAX_EMAIL = 200, 254
MIN_PASSWORD, MAX_PASSWORD = 8, 1024
MAX_PAGE, DEFAULT_PAGE = 100, 20
MAX_VERSION = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly."""

Line = Annotated[str, Meta(min_length=1, max_length=MAX_LINE, pattern=SEEN_LINE)]
Text = Annotated[str, Meta(max_length=MAX_DESCRIPTION, pattern=SOME_LINES)]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=SEEN_LINE)]
Email = Annotated[str, Meta(min_length=3, max_length=MAX_EMAIL, pattern=PLAIN_LINE)]
NewPassword = Annotated[str, Meta(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD, pattern=ONE_LINE)]
Password = Annotated[str, Meta(min_length=1, max_length=MAX_PASSWORD, pattern=ONE_LINE)]
Secret = Annotated[str, Meta(min_length=1, max_length=200, pattern=PLAIN_LINE)]
"""A token that the house has given out."""
Time = Annotated[datetime, Meta(tz=True)]
Amount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT, description="Minor units of the currency.")]
Currency = Annotated[str, Meta(min_length=3, max_length=3, pattern=r"^[A-Z]{3}(?![\s\S])", description="ISO 4217.")]
Quantity = Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
HoldSeconds = Annotated[
    int,
    Meta(
        ge=1, le=MAX_HOLD_SECONDS, description="How long an unpaid order keeps its tickets; null: the house's own time."
    ),
]
RefundUntil = Annotated[
    datetime, Meta(tz=True, description="Until then buyers may give tickets back; null: only the seller refunds.")
]
RefundFee = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_AMOUNT,
        description="Of each ticket that its buyer gives back the seller keeps so much: minor units of the price's"
        " currency, at most the price.",
    ),
]
RefundReason = Annotated[
    Literal["buyer", "seller", "house", "stripe", "cancelled", "sold_out", "withdrawn", "paid_twice", "late"],
    Meta(
        description="Who wanted it: `buyer`, `seller`, `house` (an administrator), `stripe` (made there). Or why money"
        " could not complete the order: it came after the buyer had `cancelled`, after others had bought the tickets"
        " (`sold_out`), after the seller had `withdrawn` them, although it was paid already (`paid_twice`), or too"
        " `late` (no more is known of the oldest orders)."
    ),
]
ResellReturned = Annotated[bool, Meta(description="Whether what was refunded is on sale again.")]

Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str, Meta(min_length=1, max_length=4096, pattern=PLAIN_LINE)]
Filter = Annotated[str, Meta(min_length=1, max_length=MAX_LINE, pattern=ONE_LINE)]

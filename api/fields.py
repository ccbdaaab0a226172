"""The types fields have, with their bounds: the domain's own, so that the OpenAPI document tells them.

The domain checks them again; what only the edge knows (lengths of names and passwords, pages) is decided here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from domain.listing import MAX_DESCRIPTION, MAX_HOLD_SECONDS, MAX_LINE, MAX_QUANTITY
from domain.money import MAX_AMOUNT

MAX_NAME, MAX_EMAIL = 200, 254
MIN_PASSWORD, MAX_PASSWORD = 8, 1024
MAX_PAGE, DEFAULT_PAGE = 100, 20
MAX_VERSION = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly."""

# Lookaheads, because a plain character class with `$` lets a trailing line feed pass in Python.
_NO_CONTROLS = r"^(?![\s\S]*[\x00-\x1f\x7f])"
_NO_CONTROLS_NOT_BLANK = _NO_CONTROLS + r"(?=[\s\S]*\S)"
_NO_CONTROLS_BUT_LINES = r"^(?![\s\S]*[\x00-\x08\x0b\x0c\x0e-\x1f\x7f])"

Line = Annotated[str, Meta(min_length=1, max_length=MAX_LINE, pattern=_NO_CONTROLS_NOT_BLANK)]
Text = Annotated[str, Meta(max_length=MAX_DESCRIPTION, pattern=_NO_CONTROLS_BUT_LINES)]
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=_NO_CONTROLS_NOT_BLANK)]
Email = Annotated[str, Meta(min_length=3, max_length=MAX_EMAIL, pattern=_NO_CONTROLS)]
NewPassword = Annotated[str, Meta(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD)]
Password = Annotated[str, Meta(min_length=1, max_length=MAX_PASSWORD)]
Time = Annotated[datetime, Meta(tz=True)]
Amount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT, description="Minor units of the currency.")]
Currency = Annotated[str, Meta(min_length=3, max_length=3, pattern="^[A-Z]{3}$", description="ISO 4217.")]
Quantity = Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
HoldSeconds = Annotated[
    int,
    Meta(
        ge=1, le=MAX_HOLD_SECONDS, description="How long an unpaid order keeps its tickets; null: the house's own time."
    ),
]

Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str, Meta(min_length=1, max_length=4096, pattern=_NO_CONTROLS)]
Filter = Annotated[str, Meta(min_length=1, max_length=MAX_LINE, pattern=_NO_CONTROLS)]

"""What the front page is asked for: its form as people fill it in, and the search that is made of it.

A form sends every field, the empty ones too, and links to the page collect parameters of others; so what is empty or
unknown is passed over here, where the API refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from urllib.parse import urlencode

from api.fields import MAX_PAGE
from api.ticket_pages import TicketSearch
from domain.listing import MAX_LINE
from domain.money import MAX_AMOUNT, MINOR_UNITS
from projections.queries import TicketFilter

LISTINGS_ON_A_PAGE = 24
assert LISTINGS_ON_A_PAGE <= MAX_PAGE

SORTS = (
    ("starts_at", "Soonest first"),
    ("-created_at", "Newest first"),
    ("price", "Cheapest first"),
    ("-price", "Dearest first"),
    ("title", "A to Z"),
)
"""What people may choose: the API's word for it, and theirs."""

MAX_CURSOR = 4096
PLACES = 2
"""Decimal places of a price as long as no currency is named: most have two."""


class NotUnderstood(Exception):
    """A field that cannot be what it should be; the text is for the person who filled it in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The form as it was filled in; an empty text asks for nothing."""

    q: str = ""
    category: str = ""
    venue: str = ""
    starts_from: str = ""
    starts_to: str = ""
    min_price: str = ""
    max_price: str = ""
    currency: str = ""
    available: str = ""
    sort: str = SORTS[0][0]
    cursor: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Question:
        """The form of a query string; of several values of one name the first counts."""
        given = {
            field.name: _plain(query.get(_NAMES.get(field.name, field.name), ""), field.name) for field in fields(cls)
        }
        if given["sort"] not in dict(SORTS):
            del given["sort"]
        return cls(**given)

    @property
    def has_details(self) -> bool:
        """Whether any filter is used that is folded away at first."""
        details = (self.category, self.venue, self.starts_from, self.starts_to, self.min_price, self.max_price)
        return any((*details, self.currency, self.available))

    @property
    def is_filtered(self) -> bool:
        """Whether anything was asked for at all."""
        return bool(self.q) or self.has_details

    def next_url(self, cursor: str) -> str:
        """The page after this one."""
        given = {_NAMES.get(field.name, field.name): getattr(self, field.name) for field in fields(self)}
        return "/?" + urlencode({name: value for name, value in given.items() if value} | {"cursor": cursor})

    def search(self, now: datetime) -> TicketSearch:
        """The search to make. What is over is left out, unless a date says how far back to look.

        Raises:
            NotUnderstood: a date, a price or a currency is none.
        """
        places = self._places()
        # Midnight and not this moment: so everybody asks the same question, and one look answers all of them.
        first = _midnight(self.starts_from, "From") or now.replace(hour=0, minute=0, second=0, microsecond=0)
        last = _midnight(self.starts_to, "Until")
        wanted = TicketFilter(
            q=self.q or None,
            category=self.category or None,
            venue=self.venue or None,
            starts_from=first,
            starts_to=None if last is None else last + timedelta(days=1),
            min_price=_minor_units(self.min_price, "Price from", places),
            max_price=_minor_units(self.max_price, "Price up to", places),
            currency=self.currency.upper() or None,
            available=True if self.available else None,
        )
        return TicketSearch(wanted, self.sort, LISTINGS_ON_A_PAGE, self.cursor or None)

    def _places(self) -> int:
        if not self.currency:
            return PLACES
        try:
            return MINOR_UNITS[self.currency.upper()]
        except KeyError:
            raise NotUnderstood(f"“{self.currency}” is no currency; write its code, such as EUR.") from None


_NAMES = {"starts_from": "from", "starts_to": "to"}
"""Field → its name in the form, which is that of the API."""


def _plain(text: str, name: str) -> str:
    """Without what cannot be part of an answer: control characters, and more than a field takes."""
    most = MAX_CURSOR if name == "cursor" else MAX_LINE
    return "".join(one for one in text if one.isprintable()).strip()[:most]


def _midnight(text: str, field: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.combine(datetime.strptime(text, "%Y-%m-%d").date(), time(), UTC)  # noqa: DTZ007 - UTC it is
        # As far as a day before or after it can be reckoned with.
        return found if found.year in range(1900, 3000) else _not_a_date(text, field)
    except ValueError:
        return _not_a_date(text, field)


def _not_a_date(text: str, field: str) -> datetime:
    raise NotUnderstood(f"{field}: “{text}” is no date; write it as 2027-03-12.")


def _minor_units(text: str, field: str, places: int) -> int | None:
    if not text:
        return None
    try:
        amount = Decimal(text.replace(",", ".")).scaleb(places)
        whole = int(amount)
    except (InvalidOperation, ValueError, OverflowError):
        raise NotUnderstood(f"{field}: “{text}” is no price; write it as 45 or 45.50.") from None
    if amount != whole or not 0 <= whole <= MAX_AMOUNT:
        raise NotUnderstood(f"{field}: “{text}” is no price; write it as 45 or 45.50.")
    return whole

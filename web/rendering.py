"""HTML from templates. Everything that is put into one is escaped, unless it is HTML of ours (Jinja2's autoescape)."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined

from domain.money import decimal
from web.static_files import url_of

_FEW = 10
"""So few left are worth saying."""


def render(template: str, **values: Any) -> bytes:
    """The page as UTF-8. A value that a template asks for and does not get is an error, not an empty place."""
    return _environment().get_template(template).render(**values).encode()


_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}


class _Priced(Protocol):
    amount: int
    currency: str


def money(price: _Priced) -> str:
    """`€1,250.00`, `CHF 80.00`, `free`. The scripts say the same (`static/words.js`)."""
    if price.amount == 0:
        return "free"
    sign = _SYMBOLS.get(price.currency, f"{price.currency}\N{NO-BREAK SPACE}")
    return sign + decimal(price.amount, price.currency)


def day(moment: datetime) -> str:
    """`12`"""
    return f"{moment.day}"


def month(moment: datetime) -> str:
    """`Mar`"""
    return f"{moment:%b}"


def long_date(moment: datetime) -> str:
    """`Friday 12 March 2027, 19:00 UTC`. A script shows it in the reader's own time."""
    return f"{moment:%A} {moment.day} {moment:%B %Y}, {moment:%H:%M} UTC"


def short_date(moment: datetime) -> str:
    """`Fri 12 Mar 2027, 19:00 UTC`"""
    return f"{moment:%a} {moment.day} {moment:%b %Y}, {moment:%H:%M} UTC"


def iso(moment: datetime) -> str:
    """For the attribute `datetime`."""
    return moment.isoformat().replace("+00:00", "Z")


def availability(status: str, available: int, held: int) -> str:
    """How many there are, in words. The script that keeps it live says the same (`static/live.js`)."""
    if status == "withdrawn":
        return "Withdrawn"
    if available == 0:
        return "In others’ hands right now" if held else "Sold out"
    if available <= _FEW:
        return f"Only {available} left"
    return f"{available:,} available"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(money=money, day=day, month=month, long_date=long_date, short_date=short_date, iso=iso)
    environment.globals.update(asset=url_of, availability=availability)
    return environment

"""The difference as JSON and as tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from uuid import UUID

import msgspec

from cli.audit.table import Column, lines, moment, printable
from cli.what_if.sums import Late, Line, Sums
from domain.money import decimal


class RuleShown(msgspec.Struct):
    """What was asked; null: as it was."""

    hold_seconds: int | None
    price_factor: str | None
    prices: dict[UUID, int]


class Orders(msgspec.Struct):
    """Counts, see `Sums`."""

    made: int
    completed: int
    completed_in_model: int
    expired_before_paid: int
    refused: int
    refused_completed: int
    saved: int


class Revenue(msgspec.Struct):
    """Of one currency, in minor units."""

    currency: str
    amount: int
    amount_in_model: int
    difference: int


class ListingShown(msgspec.Struct):
    """One listing in one currency, amounts in minor units."""

    ticket_id: UUID
    title: str
    currency: str
    units: int
    units_in_model: int
    amount: int
    amount_in_model: int
    difference: int
    expired_before_paid: int
    refused: int
    saved: int


class Difference(msgspec.Struct):
    """The whole result."""

    rule: RuleShown
    end: int
    """The position up to which the log was replayed."""
    orders: Orders
    revenue: list[Revenue]
    listings_affected: int
    listings: list[ListingShown]
    """The most affected."""
    latest: list[Late]
    """Of the orders that would have expired before they were paid, those that were paid latest."""


_LISTINGS = (
    Column("was", right=True),
    Column("would be", right=True),
    Column("difference", right=True),
    Column("currency"),
    Column("units", right=True),
    Column("would be", right=True),
    Column("expired", right=True),
    Column("refused", right=True),
    Column("saved", right=True),
    Column("listing"),
    Column("title"),
)
_REVENUE = (*_LISTINGS[:3], Column("currency"))
_LATEST = (Column("seconds late", right=True), Column("ordered"), Column("paid"), Column("order"))


def difference(sums: Sums, end: int) -> Difference:
    """Everything there is to say."""
    rule = sums.rule
    factor = None if rule.price_factor is None else str(rule.price_factor)
    return Difference(
        rule=RuleShown(rule.hold_seconds, factor, rule.prices),
        end=end,
        orders=Orders(
            sums.made,
            sums.completed,
            sums.completed_in_model,
            sums.expired_before_paid,
            sums.refused,
            sums.refused_completed,
            sums.saved,
        ),
        revenue=_revenue(sums),
        listings_affected=sum(any(line.effect()) for line in sums.lines.values()),
        listings=[_listing(line) for line in sums.affected()],
        latest=sorted(sums.latest, reverse=True),
    )


def as_json(sums: Sums, end: int) -> str:
    """One object."""
    return msgspec.json.encode(difference(sums, end)).decode()


def tables(sums: Sums, end: int) -> Iterator[str]:
    """The sums, the revenue, the most affected listings and the latest orders."""
    found = difference(sums, end)
    yield from _sums(found)
    yield ""
    yield "Revenue"
    yield from lines(_REVENUE, ((*_amounts(one), one.currency) for one in found.revenue))
    if found.listings:
        yield ""
        yield f"Listings, {len(found.listings)} of {found.listings_affected} affected"
        yield from lines(_LISTINGS, (_listing_row(one) for one in found.listings))
    if found.latest:
        yield ""
        yield f"Would have expired before they were paid, {len(found.latest)} of {found.orders.expired_before_paid}"
        yield from lines(_LATEST, (_late_row(one) for one in found.latest))


def _sums(found: Difference) -> Iterator[str]:
    orders = found.orders
    yield f"{orders.made:,} orders up to position {found.end:,}"
    rows = {"completed": orders.completed, "would be completed": orders.completed_in_model}
    if found.rule.hold_seconds is not None:
        rows |= {
            "completed, would have expired before they were paid": orders.expired_before_paid,
            "made, would have found no units": orders.refused,
            "of these, completed": orders.refused_completed,
            "expired although money came, would have been completed": orders.saved,
        }
    width = max(len(f"{count:,}") for count in rows.values())
    for name, count in rows.items():
        yield f"  {count:>{width},}  {name}"


def _revenue(sums: Sums) -> list[Revenue]:
    found: dict[str, Revenue] = {}
    for line in sums.lines.values():
        one = found.setdefault(line.currency, Revenue(line.currency, 0, 0, 0))
        one.amount += line.amount
        one.amount_in_model += line.amount_in_model
        one.difference += line.difference
    return [found[currency] for currency in sorted(found)]


def _listing(line: Line) -> ListingShown:
    return ListingShown(**asdict(line), difference=line.difference)


def _amounts(one: Revenue | ListingShown) -> tuple[str, str, str]:
    more = "" if one.difference < 0 else "+"
    was, would_be, difference = (
        decimal(amount, one.currency) for amount in (one.amount, one.amount_in_model, one.difference)
    )
    return was, would_be, f"{more}{difference}"


def _listing_row(one: ListingShown) -> tuple[str, ...]:
    counts = (one.units, one.units_in_model, one.expired_before_paid, one.refused, one.saved)
    units, units_in_model, expired, refused, saved = (f"{count:,}" for count in counts)
    names = (str(one.ticket_id), printable(one.title))
    return (*_amounts(one), one.currency, units, units_in_model, expired, refused, saved, *names)


def _late_row(one: Late) -> tuple[str, ...]:
    return f"{one.seconds_late:,.3f}", moment(one.ordered_at), moment(one.paid_at), str(one.order_id)

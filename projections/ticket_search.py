"""The search for listings: filters, sort orders, keyset paging. One query a page, whatever is asked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, LiteralString
from uuid import UUID

from psycopg.sql import SQL, Composed

from projections.cursor import SortValue, decode_cursor
from projections.rows import SELECT_TICKETS, TicketRow
from projections.search import FACETS, question, sort_key


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """What to look for; None does not matter."""

    q: str | None = None
    """Words, each the beginning of one in title, event name, venue, promoter or category."""
    category: str | None = None
    """Compared whole, without case and accents, as `venue` and `promoter`."""
    venue: str | None = None
    promoter: str | None = None
    starts_from: datetime | None = None
    starts_to: datetime | None = None
    """Exclusive."""
    min_price: int | None = None
    max_price: int | None = None
    """Inclusive, in minor units."""
    currency: str | None = None
    seller_id: UUID | None = None
    """With it, withdrawn listings are found too."""
    available: bool | None = None
    """Whether a unit can be had now."""


@dataclass(frozen=True, slots=True)
class _Sort:
    column: LiteralString
    kind: type[Any]


_SORTED_BY = {
    "created_at": _Sort("created_at", datetime),
    "starts_at": _Sort("starts_at", datetime),
    "price": _Sort("amount", int),
    "title": _Sort("title_key", str),
}

SORTS = tuple(prefix + name for name in _SORTED_BY for prefix in ("", "-"))
"""The orders a list can have; `-` is descending. Ties go by id."""

_CONDITIONS: dict[str, LiteralString] = {
    "search": "search @@ %(search)s::tsquery",
    "starts_from": "starts_at >= %(starts_from)s",
    "starts_to": "starts_at < %(starts_to)s",
    "min_price": "amount >= %(min_price)s",
    "max_price": "amount <= %(max_price)s",
    "seller_id": "seller_id = %(seller_id)s",
    "on_sale": "on_sale",
    "not_on_sale": "NOT on_sale",
    "not_withdrawn": "NOT withdrawn",
}


def search_query(wanted: TicketFilter, sort: str, limit: int, cursor: str | None) -> tuple[bytes, dict[str, Any], bool]:
    """The query for one row more than a page, its parameters, and whether its plan may be kept for other values.

    Raises:
        BadCursor: the cursor is not of this list.
    """
    by = _SORTED_BY[sort.removeprefix("-")]
    parameters: dict[str, Any] = {
        field.name: value
        for field in fields(wanted)
        if field.name in _CONDITIONS and (value := getattr(wanted, field.name)) is not None
    }
    facets = {name: value for name in FACETS if (value := getattr(wanted, name)) is not None}
    search = question(wanted.q, facets)
    if search is not None:
        parameters["search"] = search
    conditions = [*parameters, *_state_conditions(wanted)]
    # What is cheapest depends on the values: a common word is found along the sort order, a rare one by the index.
    keep_plan = not parameters.keys() - {"seller_id"}
    parameters["limit"] = limit + 1
    if cursor is not None:
        parameters["after"], parameters["after_id"] = decode_cursor(cursor, sort, by.kind)
    return _select(tuple(conditions), sort, cursor is not None), parameters, keep_plan


def sort_value(row: TicketRow, sort: str) -> SortValue:
    """What a row is sorted by."""
    match sort.removeprefix("-"):
        case "created_at":
            return row.created_at
        case "starts_at":
            return row.listing.event.starts_at
        case "price":
            return row.listing.price.amount
        case _:
            return sort_key(row.listing.title)


def _state_conditions(wanted: TicketFilter) -> list[str]:
    if wanted.available:
        return ["on_sale"]
    conditions = [] if wanted.available is None else ["not_on_sale"]
    return conditions if wanted.seller_id is not None else [*conditions, "not_withdrawn"]


@cache
def _select(conditions: tuple[str, ...], sort: str, after: bool) -> bytes:
    column = SQL(_SORTED_BY[sort.removeprefix("-")].column)
    descending = sort.startswith("-")
    wheres: list[Composed | SQL] = [SQL(_CONDITIONS[name]) for name in conditions]
    if after:
        way = SQL("<") if descending else SQL(">")
        wheres.append(SQL("({0}, id) {1} (%(after)s, %(after_id)s)").format(column, way))
    return (
        SQL("{select} WHERE {wheres} ORDER BY {order} LIMIT %(limit)s")
        .format(
            select=SQL(SELECT_TICKETS),
            wheres=SQL(" AND ").join(wheres) if wheres else SQL("true"),
            order=(SQL("{0} DESC, id DESC") if descending else SQL("{0}, id")).format(column),
        )
        .as_bytes()
    )

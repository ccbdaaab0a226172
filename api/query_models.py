"""Query strings as types: what a list or a read may be asked for. A parameter that is not here is refused."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, field

from api.fields import DEFAULT_PAGE, MAX_VERSION, Amount, Currency, Cursor, Filter, Limit, Time
from api.models import Model


class OneQuery(Model):
    as_of: Annotated[Time | None, Meta(description="As it was at this moment.")] = None
    min_version: Annotated[
        Annotated[int, Meta(ge=1, le=MAX_VERSION)] | None,
        Meta(description="Waits, within bounds, until this version can be read."),
    ] = None


_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
MAX_LIVE_LISTINGS = 50
"""Of one stream: a page of listings has half as many."""


MAX_LIVE_SECONDS = 300
"""Then the client comes again, perhaps to a process that has less to do."""

LiveSeconds = Annotated[
    int, Meta(ge=0, le=MAX_LIVE_SECONDS, description="The stream ends after so long; 0: it tells what is, once.")
]


class LiveQuery(Model):
    seconds: LiveSeconds = MAX_LIVE_SECONDS


class LiveManyQuery(Model):
    ids: Annotated[
        str,
        Meta(
            max_length=37 * MAX_LIVE_LISTINGS,
            pattern=rf"^{_UUID}(,{_UUID}){{0,{MAX_LIVE_LISTINGS - 1}}}(?![\s\S])",
            description="Ids of listings, separated by commas.",
        ),
    ]
    seconds: LiveSeconds = MAX_LIVE_SECONDS


class PageQuery(Model):
    limit: Limit = DEFAULT_PAGE
    cursor: Cursor | None = None


class TicketQuery(PageQuery):
    q: Annotated[Filter | None, Meta(description="Words to search for.")] = None
    category: Filter | None = None
    venue: Filter | None = None
    promoter: Filter | None = None
    starts_from: Annotated[Time | None, Meta(description="Events that start then or later.")] = field(
        name="from", default=None
    )
    starts_to: Annotated[Time | None, Meta(description="Events that start before then.")] = field(
        name="to", default=None
    )
    min_price: Amount | None = None
    max_price: Amount | None = None
    currency: Currency | None = None
    seller: UUID | None = None
    available: bool | None = None
    sort: Literal["created_at", "-created_at", "starts_at", "-starts_at", "price", "-price", "title", "-title"] = (
        "-created_at"
    )

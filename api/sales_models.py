"""What was sold, as types (`api/models.py`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, field

from api.fields import Currency, Time
from api.models import Model, View
from projections.sales import MAX_TICKETS

MAX_DAYS, DEFAULT_DAYS = 400, 30
"""Asked for at most, and if nothing is said."""

MAX_STEPS = 1_000
"""In a series: 41 days by the hour."""

Minor = Annotated[int, Meta(description="Minor units of the currency.")]
Interval = Literal["day", "hour", "month"]


class SalesQuery(Model):
    since: Annotated[Time | None, Meta(description=f"From then on; default: {DEFAULT_DAYS} days before `to`.")] = field(
        name="from", default=None
    )
    until: Annotated[Time | None, Meta(description=f"Before then; at most {MAX_DAYS} days after; default: now.")] = (
        field(name="to", default=None)
    )
    interval: Annotated[Interval, Meta(description="Steps of the series, in UTC; by the hour 41 days at most.")] = "day"
    ticket_id: Annotated[UUID | None, Meta(description="Of this listing alone.")] = None
    currency: Annotated[Currency | None, Meta(description="In this currency alone.")] = None


class SalesTotal(View):
    """One currency; gross − refunded = fees + net."""

    currency: Currency
    orders: Annotated[int, Meta(description="That were paid.")]
    tickets: Annotated[int, Meta(description="Units sold, given back later or not.")]
    gross: Annotated[Minor, Meta(description="What buyers paid.")]
    fees: Annotated[Minor, Meta(description="The house's part, less what it gave back.")]
    refunded: Annotated[Minor, Meta(description="What went back to buyers in this time, lost disputes among it.")]
    net: Annotated[Minor, Meta(description="The sellers' part.")]
    paid_out: Annotated[Minor | None, Meta(description="In this time; null with `ticket_id`: an order is paid as one.")]
    owed: Annotated[
        Minor | None,
        Meta(description="Of all sales before `to`, what was not paid out by then; null with `ticket_id`."),
    ]


class SalesStep(View):
    """One step in one currency; a step in which nothing happened is left out."""

    start: datetime
    currency: Currency
    tickets: int
    gross: Minor
    refunded: Minor
    fees: Minor
    net: Minor
    paid_out: Annotated[
        Minor | None, Meta(description="Less what came back, so it may be below 0; null with `ticket_id`.")
    ]


class TicketSales(View):
    """One listing in one currency."""

    ticket_id: UUID
    title: Annotated[str | None, Meta(description="As it is today.")]
    currency: Currency
    tickets: int
    gross: Minor
    refunded: Minor
    net: Minor


class Sales(View):
    seller_id: Annotated[UUID | None, Meta(description="Whose; null: everybody's, as an administrator sees them.")]
    since: datetime = field(name="from")
    until: datetime = field(name="to")
    interval: Interval
    totals: list[SalesTotal]
    series: list[SalesStep]
    tickets: Annotated[
        list[TicketSales], Meta(description=f"The {MAX_TICKETS} that sold for most come first, the others not at all.")
    ]

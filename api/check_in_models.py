"""What a door asks, and is told."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from api.models import CheckedIn, Event, Model, View
from api.text import ONE_LINE, SEEN_LINE
from domain.check_in import MAX_GATE_LENGTH

MAX_CODE, MAX_LISTINGS = 300, 100


class NewCheckIn(Model):
    """A ticket that somebody shows."""

    code: Annotated[
        str,
        Meta(min_length=1, max_length=MAX_CODE, pattern=ONE_LINE, description="As it was scanned, or the short one."),
    ]
    gate: Annotated[str, Meta(min_length=1, max_length=MAX_GATE_LENGTH, pattern=SEEN_LINE)] | None = None
    ticket_ids: Annotated[
        Annotated[list[UUID], Meta(min_length=1, max_length=MAX_LISTINGS)] | None,
        Meta(description="The listings that this door is for; null: whatever whoever asks may let in."),
    ] = None


class CheckIn(View):
    """Who has it gets in."""

    order_id: UUID
    ticket_id: Annotated[UUID, Meta(description="Of the listing.")]
    title: str
    event: Event
    number: Annotated[int, Meta(description="Which of the order's tickets for this listing, from 1.")]
    of: Annotated[int, Meta(description="How many the order had.")]
    checked_in: CheckedIn

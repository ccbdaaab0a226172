"""What sellers and the house are told of a dispute, as types (`api/models.py`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from api.models import HistoryItem, Money, View


class TimelineItem(HistoryItem):
    """An event of the order, or of one of its listings."""

    subject: Annotated[UUID, Meta(description="The order or the listing whose event it is.")]


class Evidence(View):
    text: Annotated[str, Meta(description="In plain words, for Stripe's form; made of the log alone.")]


class Dispute(View):
    """The buyer's bank asks the money back."""

    dispute_id: str
    status: Annotated[str, Meta(description="Stripe's.")]
    reason: Annotated[str, Meta(description="The bank's, as Stripe names it.")]
    amount: Annotated[Money, Meta(description="Of the charge of the whole order, whoever sold what of it.")]
    evidence_due_by: Annotated[datetime | None, Meta(description="After that Stripe takes no evidence.")]
    timeline: Annotated[
        list[TimelineItem],
        Meta(
            description="What happened to the order and to its tickets, in the order of the log; for a seller without"
            " other sellers' parts."
        ),
    ]
    evidence: Evidence


class DisputePage(View):
    items: Annotated[list[Dispute], Meta(description="The oldest first; all there are.")]
    next_cursor: None

"""The state of an aggregate, for programs and for people."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from api import models, representations
from cli.audit.steps import Audited
from cli.audit.table import printable
from domain.order import Order
from domain.ticket import Ticket


class UserState(msgspec.Struct):
    """An account, as far as the log knows it."""

    id: UUID
    version: int
    admin: bool
    erased: bool
    created_at: datetime
    updated_at: datetime


def for_programs(state: Audited) -> models.Ticket | models.Order | UserState:
    """A ticket or an order as `GET /api/tickets/{id}` and `GET /api/orders/{id}` show it."""
    match state:
        case Ticket():
            return representations.ticket(state)
        case Order():
            return representations.order(state)
        case _:
            return UserState(state.id, state.version, state.admin, state.erased, state.created_on, state.modified_on)


def for_people(state: Audited) -> str:
    """What matters of it, on one line."""
    match state:
        case Ticket():
            counts = f"{state.available} available, {state.held} held, {state.sold} sold of {state.listing.quantity}"
            return f"{state.status}: {counts} at {state.listing.price}"
        case Order():
            units = " + ".join(f"{item.quantity} x {printable(item.title)}" for item in state.items)
            said = {"charge": state.charge_id, "refund": state.refund_id}
            known = "".join(f", {name} {stripe_id}" for name, stripe_id in said.items() if stripe_id is not None)
            due = "".join(f", {move.money} due to move" for move in state.due_moves())
            return f"{state.status}: {units} for {state.total}{known}{due}"
        case _:
            return "erased" if state.erased else "administrator" if state.admin else "open"

"""At the door: each ticket of a paid order lets one person in, once.

An order's tickets for a listing are numbered from 1. What is refunded of them are the last that were not used: so no
number that is good goes bad by another one's use, and none that went bad is ever good again.
"""

from __future__ import annotations

from uuid import UUID

from domain.aggregate import Event, Stamp, pinned
from domain.errors import OrderNotFound, TicketUsed, TicketVoid
from domain.order import COMPLETED, CheckIn, Item, Order

MAX_GATE_LENGTH = 60
"""Characters of a door's name."""


def used(order: Order, ticket_id: UUID) -> dict[int, CheckIn]:
    """By number, the tickets of a listing that have let somebody in."""
    return {known.number: known for known in order.check_ins if known.ticket_id == ticket_id}


def unused(order: Order, item: Item) -> list[int]:
    """The numbers that still let somebody in."""
    if order.status != COMPLETED:
        return []
    gone = used(order, item.ticket_id)
    numbers = [number for number in range(1, item.quantity + 1) if number not in gone]
    return numbers[: max(0, len(numbers) - item.refunded)]


def check_in(order: Order, item: Item, number: int, gate: str | None, stamp: Stamp) -> None:
    """Lets one person in.

    Args:
        item: of the order.
        number: which of its tickets, from 1.
        gate: the door, in the words of who stands there.

    Raises:
        OrderNotFound: it has no such ticket.
        TicketUsed, TicketVoid.
    """
    if not 1 <= number <= item.quantity:
        raise OrderNotFound(f"the order has no ticket {number} of {item.ticket_id}")
    earlier = used(order, item.ticket_id).get(number)
    if earlier is not None:
        raise TicketUsed(earlier.at, earlier.gate)
    if number not in unused(order, item):
        raise TicketVoid("the ticket was refunded" if order.status == COMPLETED else f"the order is {order.status}")
    order.trigger(CheckInCreated, stamp, ticket_id=item.ticket_id, number=number, gate=gate)


@pinned("stagedoor.Order.CheckInCreated")
class CheckInCreated(Event):
    ticket_id: UUID
    number: int
    gate: str | None

    def apply(self, aggregate: Order) -> None:
        known = CheckIn(self.ticket_id, self.number, self.timestamp, self.gate)
        aggregate.check_ins = (*aggregate.check_ins, known)

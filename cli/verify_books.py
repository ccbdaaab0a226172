"""What must hold between aggregates: units sold and orders completed, holds and open orders, one charge an order.

Kept in memory: one number a listing and the open orders with their holds, never what is over. A million events need
some tens of megabytes.
"""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from cli.verify_findings import Findings
from domain.order import Order
from domain.ticket import Ticket


class Books:
    """Takes in every aggregate, then compares."""

    def __init__(self) -> None:
        self._sold: Counter[UUID] = Counter()
        """By listing, units that went out, also those that came back."""
        self._ordered: Counter[UUID] = Counter()
        """By listing, units of orders that were ever completed."""
        self._holds: dict[tuple[UUID, UUID], int] = {}
        """By listing and order, units held."""
        self._open: dict[tuple[UUID, UUID], int] = {}
        """By listing and open order, units ordered."""

    def enter_ticket(self, ticket: Ticket, returned: int) -> None:
        """Takes in a listing as it is now; `returned`: units that were sold and came back."""
        self._sold[ticket.id] = ticket.sold + returned
        for order_id, hold in ticket.holds.items():
            self._holds[ticket.id, order_id] = hold.quantity

    def enter_order(self, order: Order, *, completed: bool, charges: int, findings: Findings) -> None:
        """Takes in an order as it is now; `completed`: whether it ever was, `charges`: how often money came for it."""
        if charges > 1:
            findings.add(f"order {order.id} was charged {charges} times")
        for item in order.items:
            if completed:
                self._ordered[item.ticket_id] += item.quantity
            elif order.is_open:
                self._open[item.ticket_id, order.id] = item.quantity

    def close(self, findings: Findings) -> None:
        """Compares."""
        for ticket_id in self._sold.keys() | self._ordered.keys():
            if self._sold[ticket_id] != self._ordered[ticket_id]:
                findings.add(
                    f"listing {ticket_id} sold {self._sold[ticket_id]} units,"
                    f" completed orders have {self._ordered[ticket_id]}"
                )
        for (ticket_id, order_id), quantity in self._holds.items():
            wanted = self._open.get((ticket_id, order_id))
            if wanted != quantity:
                said = "is not open" if wanted is None else f"has {wanted}"
                findings.add(f"listing {ticket_id} holds {quantity} units for order {order_id}, which {said}")

"""The units of every listing, as they would have been held and sold under another hold.

The house's own rules: a hold past its deadline blocks nobody; who pays after the deadline gets units that are still
free. Memory: some numbers for each listing, an entry for each order that would be holding units.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.order import Item


@dataclass(slots=True)
class Placed:
    """An order that may still be paid."""

    items: tuple[Item, ...]
    ordered_at: datetime
    expires_at: datetime
    """As it really was."""
    deadline: datetime
    """Under the other rule."""
    refused: bool = False
    """It would have found no units."""
    intent_open: bool = False
    """Stripe may still take money for it."""
    ended: bool = False
    """It really expired."""


@dataclass(slots=True)
class _Shelf:
    quantity: int
    withdrawn: bool = False
    taken: int = 0
    """Held or sold."""

    @property
    def free(self) -> int:
        return 0 if self.withdrawn else self.quantity - self.taken


class Holds:
    """Told what happened in the order of the log."""

    def __init__(self) -> None:
        self._shelves: dict[UUID, _Shelf] = {}
        # Every hold is as long as the others, so the oldest is the first to end. Not a dict: taking the first of one
        # again and again walks over all that were taken before.
        self._holding: OrderedDict[UUID, Placed] = OrderedDict()

    def listed(self, ticket_id: UUID, quantity: int) -> None:
        """A listing is there, or has another quantity now."""
        self._shelves.setdefault(ticket_id, _Shelf(quantity)).quantity = quantity

    def withdrawn(self, ticket_id: UUID) -> None:
        """A listing is off the market for good."""
        self._shelves[ticket_id].withdrawn = True

    def returned(self, ticket_id: UUID, quantity: int) -> None:
        """Sold units came back by a refund."""
        shelf = self._shelves[ticket_id]
        shelf.taken = max(0, shelf.taken - quantity)

    def lapse(self, now: datetime) -> None:
        """Ends the holds whose deadline has come."""
        while self._holding:
            order_id, oldest = next(iter(self._holding.items()))
            if oldest.deadline > now:
                return
            self.release(order_id)

    def hold(self, order_id: UUID, order: Placed) -> list[UUID]:
        """Holds all units of an order, or none; returns the listings that have not enough of them."""
        lacking = self._lacking(order.items)
        if not lacking:
            self._take(order.items)
            self._holding[order_id] = order
        return lacking

    def release(self, order_id: UUID) -> None:
        """Frees what an order holds, if it does."""
        order = self._holding.pop(order_id, None)
        if order is not None:
            for item in order.items:
                self._shelves[item.ticket_id].taken -= item.quantity

    def sell(self, order_id: UUID, order: Placed, now: datetime) -> bool:
        """Sells an order its units for money that came now; False: it would not have been completed.

        It would not have been if it was paid in time, and would have been too late under the other rule: payment is
        not begun after the deadline. What was paid late in truth too gets units that are free, as it does in truth.
        """
        if self._holding.pop(order_id, None) is not None:
            return True
        if order.refused or now < order.expires_at or self._lacking(order.items):
            return False
        self._take(order.items)
        return True

    def _lacking(self, items: Iterable[Item]) -> list[UUID]:
        return [item.ticket_id for item in items if self._shelves[item.ticket_id].free < item.quantity]

    def _take(self, items: Iterable[Item]) -> None:
        for item in items:
            self._shelves[item.ticket_id].taken += item.quantity

"""What is counted while the log is replayed: in truth, and under the other rule.

Memory: an entry for each listing that was ordered, in each currency it was ordered in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappush, heappushpop, nlargest
from uuid import UUID

from cli.what_if.holds import Placed
from cli.what_if.rule import Rule
from domain.order import Item

SHOWN = 20
"""Listings and orders that are named; the rest is in the sums."""


@dataclass(slots=True)
class Line:
    """Sales of one listing in one currency. Amounts are in minor units."""

    ticket_id: UUID
    title: str
    """As it was when the listing was first ordered."""
    currency: str
    units: int = 0
    units_in_model: int = 0
    amount: int = 0
    amount_in_model: int = 0
    expired_before_paid: int = 0
    """Orders, as are the next two."""
    refused: int = 0
    saved: int = 0

    @property
    def difference(self) -> int:
        return self.amount_in_model - self.amount

    def effect(self) -> tuple[int, int]:
        """How much the rule changes; 0, 0: nothing."""
        return abs(self.difference), self.expired_before_paid + self.refused + self.saved


@dataclass(frozen=True, slots=True, order=True)
class Late:
    """A completed order that would have expired before it was paid."""

    seconds_late: float
    """From the deadline under the other rule to the charge."""
    order_id: UUID
    ordered_at: datetime
    paid_at: datetime


@dataclass(slots=True)
class Sums:
    """The result."""

    rule: Rule
    made: int = 0
    completed: int = 0
    completed_in_model: int = 0
    expired_before_paid: int = 0
    """Completed orders that would have expired before they were paid."""
    refused: int = 0
    """Orders that would have been refused when they were made, because longer holds kept the units."""
    refused_completed: int = 0
    """Of these, those that were completed."""
    saved: int = 0
    """Orders that expired although money came, and would have been completed: the money would have come in time, or
    late and still found its units free."""
    lines: dict[tuple[UUID, str], Line] = field(default_factory=dict)
    latest: list[Late] = field(default_factory=list)
    """A heap of those of `expired_before_paid` that were latest, at most `SHOWN`."""

    def refuse(self, order: Placed, lacking: Collection[UUID]) -> None:
        """An order would have found no units."""
        self.refused += 1
        for line, item in self._lines(order):
            line.refused += item.ticket_id in lacking

    def settle(self, order_id: UUID, order: Placed, paid_at: datetime, *, in_truth: bool, in_model: bool) -> None:
        """Money came (or none was due). The flags say whether it completed the order."""
        self.completed += in_truth
        self.completed_in_model += in_model
        expired = in_truth and not in_model and not order.refused
        saved = in_model and not in_truth
        self.refused_completed += in_truth and order.refused
        self.expired_before_paid += expired
        self.saved += saved
        if expired:
            late = Late((paid_at - order.deadline).total_seconds(), order_id, order.ordered_at, paid_at)
            (heappush if len(self.latest) < SHOWN else heappushpop)(self.latest, late)
        for line, item in self._lines(order):
            line.expired_before_paid += expired
            line.saved += saved
            if in_truth:
                line.units += item.quantity
                line.amount += item.quantity * item.price.amount
            if in_model:
                line.units_in_model += item.quantity
                line.amount_in_model += item.quantity * self.rule.price(item)

    def affected(self) -> list[Line]:
        """The listings that the rule changes most, at most `SHOWN`: by money, then by orders, then by age."""
        return nlargest(SHOWN, (line for line in self.lines.values() if any(line.effect())), key=Line.effect)

    def _lines(self, order: Placed) -> Iterator[tuple[Line, Item]]:
        for item in order.items:
            key = item.ticket_id, item.price.currency
            line = self.lines.get(key)
            if line is None:
                line = self.lines[key] = Line(item.ticket_id, item.title, item.price.currency)
            yield line, item

"""What the buyers of one run were answered, counted as it happens. Its size does not grow with the number of orders."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cli.client import ProblemError, UnansweredError
from cli.contract import Order
from cli.demonstration.latency import Histogram

MAX_ERROR_KINDS = 50
"""Kinds of errors told apart; what comes after them is counted under `other`."""


@dataclass
class Sales:
    """Orders and what was in them: `tickets` by listing id, `amount` in minor units."""

    orders: int = 0
    tickets: Counter[str] = field(default_factory=Counter)
    amount: int = 0

    def add(self, order: Order) -> None:
        """Counts one order."""
        self.orders += 1
        self.amount += order.total.amount
        for item in order.items:
            self.tickets[item.ticket_id] += item.quantity

    def include(self, other: Sales) -> None:
        """Adds another count to this one."""
        self.orders += other.orders
        self.amount += other.amount
        self.tickets.update(other.tickets)


@dataclass
class Tally:
    """Counters of one run. `maybe` counts requests whose outcome nobody told: the check allows for both."""

    ordered: int = 0
    maybe_ordered: int = 0
    paid: Sales = field(default_factory=Sales)
    maybe_paid: Sales = field(default_factory=Sales)
    cancelled: int = 0
    walked_away: int = 0
    declined_cards: int = 0
    sold_out: int = 0
    too_late: int = 0
    """Payments and cancellations refused because the hold had ended."""
    too_many: int = 0
    """Orders refused with 422 or `too_many_held`: more tickets than the marketplace sells one buyer at once."""
    collected: int = 0
    visits: int = 0
    visits_missed: int = 0
    """Planned visits that were never begun: their buyer was still waiting for answers when the time was over."""
    errors: Counter[str] = field(default_factory=Counter)
    """Requests that ended in a way no buyer expects, by kind; `error_samples` has the first message of each."""
    error_samples: dict[str, str] = field(default_factory=dict)
    latency: dict[str, Histogram] = field(
        default_factory=lambda: {"order": Histogram(), "payment": Histogram(), "search": Histogram()}
    )

    @contextmanager
    def timed(self, what: str, meant_at: float) -> Iterator[None]:
        """Counts the time from `meant_at` (the loop's clock) until the answer, or until the buyer gives up."""
        try:
            yield
        finally:
            self.latency[what].add(asyncio.get_running_loop().time() - meant_at)

    def failed(self, error: ProblemError | UnansweredError) -> None:
        """Counts a request that ended in a way no buyer expects."""
        kind = f"{error.status} {error.code}" if isinstance(error, ProblemError) else "no answer"
        if kind not in self.errors and len(self.errors) >= MAX_ERROR_KINDS:
            kind = "other"
        self.errors[kind] += 1
        self.error_samples.setdefault(kind, str(error))

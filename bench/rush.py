"""An on-sale morning: many more buyers than tickets, all at once."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any
from uuid import UUID

from bench.driver import Outcome
from bench.figures import Bar, Figure, Plan
from bench.market import CREATED, Market, Sale, market

BUYERS, TICKETS, CONNECTIONS = 20_000, 5_000, 1_000
SOLD_OUT, COME_AGAIN = 409, 503
NOTHING = Bar(0, 0, below=True)
"""None may be oversold, left over or refused uncleanly; no margin makes this easier."""


@dataclass(frozen=True)
class _Rush:
    sale: Sale
    taken: int
    """Units that the listing says are held or sold, afterwards."""
    tickets: int

    @property
    def outcome(self) -> Outcome:
        return self.sale.outcome

    @property
    def wrong_tickets(self) -> int:
        """By how many what was promised to buyers, or what the listing says, is off the number of tickets."""
        return max(abs(self.outcome.statuses[CREATED] - self.tickets), abs(self.taken - self.tickets))

    @property
    def unclean_answers(self) -> int:
        """Answers that are neither an order, nor sold out, nor `Retry-After`."""
        clean = sum(self.outcome.statuses[status] for status in (CREATED, SOLD_OUT, COME_AGAIN))
        return self.outcome.statuses.total() - clean + self.outcome.bare_refusals

    @property
    def sold_out_seconds(self) -> float:
        """When the last ticket's buyer had an answer."""
        both = zip(self.outcome.finished, self.outcome.answers, strict=True)
        return max(moment for moment, status in both if status == CREATED)

    def as_json(self) -> dict[str, Any]:
        return {**self.sale.as_json(), "taken": self.taken, "sold_out_seconds": round(self.sold_out_seconds, 3)}


def run(plan: Plan) -> Sequence[Figure]:
    """Every buyer tries once, over `CONNECTIONS`; all orders are due at the start."""
    buyers, tickets = plan.scaled(BUYERS), plan.scaled(TICKETS)
    with market(buyers) as where:
        rushes = [_rush(where, buyers, tickets) for _ in range(plan.runs)]
    found = {"runs": [rush.as_json() for rush in rushes]}
    who = f"rush: {buyers:,} buyers for {tickets:,} tickets"
    refused = median(rush.outcome.statuses[COME_AGAIN] for rush in rushes)
    return [
        Figure(
            f"{who}: oversold or left over",
            [rush.wrong_tickets for rush in rushes],
            "tickets",
            NOTHING,
            f"{median(rush.taken for rush in rushes):,.0f} sold or held",
            details=found,
        ),
        Figure(
            f"{who}: answers that are no order, clean 409 or 503 with Retry-After",
            [rush.unclean_answers for rush in rushes],
            "answers",
            NOTHING,
            f"{median(rush.outcome.statuses[SOLD_OUT] for rush in rushes):,.0f} × 409, {refused:,.0f} × 503",
        ),
        Figure(
            f"{who}: sold out after",
            [rush.sold_out_seconds for rush in rushes],
            "s",
            Bar(10, 2, below=True),
            f"{median(rush.outcome.per_second for rush in rushes):,.0f} answers/s",
        ),
        Figure(
            f"{who}: p99 of all answers, counted from the start",
            [rush.outcome.percentile_ms(99) / 1_000 for rush in rushes],
            "s",
            Bar(10, 10, below=True),
            f"p50 {median(rush.outcome.percentile_ms(50) for rush in rushes) / 1_000:.2f} s",
        ),
    ]


def _rush(where: Market, buyers: int, tickets: int) -> _Rush:
    [ticket] = where.listings(quantity=tickets)
    connections = min(CONNECTIONS, buyers)
    sale = where.order(connections, [ticket], buyers=buyers, count=buyers, rate=float("inf"))
    where.stand.await_read_models()
    return _Rush(sale, _taken(where.stand.url, ticket), tickets)


def _taken(url: str, ticket: UUID) -> int:
    with urllib.request.urlopen(f"{url}/api/tickets/{ticket}", timeout=10) as answer:
        listing = json.load(answer)
    return int(listing["held"] + listing["sold"])

"""What one visit of a buyer will be, drawn before it begins. Pure: the same random numbers give the same plans."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate

from cli.demonstration.catalogue import LAST_TICKETS, Catalogue, Listing

MOST_TICKETS = 8
"""Of one order, over all its items."""

MEAN_PAUSE_SECONDS = 2.0
"""Between two visits of one buyer, on average (exponential): 200 buyers come about 60 times a second."""

DEMAND = {
    "Final": 400,
    LAST_TICKETS: 150,
    "Semi-final": 60,
    "Match for third place": 20,
    "Quarter-final": 15,
    "Round of 16": 4,
    "Round of 32": 2,
}
"""How wanted one listing of a round is; a group match counts 1. Nearly half of the orders want the final."""

OPENING_RUSH = 0.5
"""The share of buyers whose first visit is for the last tickets."""

ORDERING = 0.8
"""The share of visits that order; the others look around."""

SEARCHING_FIRST = 0.5
"""The share of ordering visits that begin with a search."""

COLLECTING = 0.25
"""The share of looking visits that put the ticket into the buyer's collection."""

FORGETTING = 0.3
"""The share of those that take it out again."""

SECOND_LISTING = 0.1
"""The share of orders that want tickets of a second listing too: all or nothing."""

TYPICAL_TICKETS = 2.5
GOOD_CARDS = ("pm_card_visa", "pm_card_mastercard")
BAD_CARDS = ("pm_card_visa_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds")
SEARCHES = ("Final", "Semi-final", "Mexico", "Argentina", "France", "Group A", "Dallas", "MetLife Stadium", "quarter")


class Outcome(Enum):
    """How a buyer means to end an order."""

    PAY = "pay"
    CANCEL = "cancel"
    WALK_AWAY = "walk away"


@dataclass(frozen=True)
class Ending:
    """`declined_first`: tries a card that is declined before."""

    declined_first: bool
    outcome: Outcome


ENDINGS = {
    Ending(declined_first=False, outcome=Outcome.PAY): 58,
    Ending(declined_first=True, outcome=Outcome.PAY): 12,
    Ending(declined_first=False, outcome=Outcome.CANCEL): 10,
    Ending(declined_first=True, outcome=Outcome.CANCEL): 3,
    Ending(declined_first=False, outcome=Outcome.WALK_AWAY): 14,
    Ending(declined_first=True, outcome=Outcome.WALK_AWAY): 3,
}
"""How many of a hundred orders end so: 70 are paid."""


@dataclass(frozen=True)
class Wish:
    """Some tickets of one listing."""

    listing: Listing
    quantity: int


@dataclass(frozen=True)
class Visit:
    """What a buyer means to do: search, then order `wishes`, or look at one listing when there are none."""

    search: str | None
    looks_at: Listing
    collects: bool
    forgets: bool
    wishes: tuple[Wish, ...]
    ending: Ending
    good_card: str
    bad_card: str
    browse_seconds: float
    """How long the buyer thinks after the search, after the order, after a declined card; then the pause to the next
    visit. Zero for a step that this visit does not have."""
    order_seconds: float
    declined_seconds: float
    pause_seconds: float

    @property
    def planned_seconds(self) -> float:
        """From its beginning until the buyer's next visit, if every answer came at once."""
        return self.browse_seconds + self.order_seconds + self.declined_seconds + self.pause_seconds


class Planner:
    """Draws visits for the buyers of one catalogue."""

    def __init__(self, catalogue: Catalogue, chance: random.Random) -> None:
        self._chance = chance
        self._last_tickets = catalogue.last_tickets
        self._listings = catalogue.all
        self._demand = list(accumulate(DEMAND.get(listing.round, 1) for listing in self._listings))

    def first(self, most_tickets: int) -> Visit:
        """A buyer's first visit: half of them want the last tickets at once."""
        if self._happens(OPENING_RUSH):
            return self._visit(None, (Wish(self._last_tickets, self._chance.choice((1, 2))),))
        return self.next(most_tickets)

    def next(self, most_tickets: int) -> Visit:
        """Any other visit; an order has at most `most_tickets` tickets."""
        orders = self._happens(ORDERING)
        searches = not orders or self._happens(SEARCHING_FIRST)
        return self._visit(
            self._chance.choice(SEARCHES) if searches else None, self._wishes(most_tickets) if orders else ()
        )

    def _wishes(self, most_tickets: int) -> tuple[Wish, ...]:
        quantity = min(1 + int(self._chance.expovariate(1 / TYPICAL_TICKETS)), most_tickets)
        listing, other = self._draw(), self._draw()
        if listing.round == LAST_TICKETS:
            return (Wish(listing, min(quantity, 2)),)
        if quantity == 1 or other.id == listing.id or not self._happens(SECOND_LISTING):
            return (Wish(listing, quantity),)
        return (Wish(listing, quantity - 1), Wish(other, 1))

    def _draw(self) -> Listing:
        return self._chance.choices(self._listings, cum_weights=self._demand)[0]

    def _happens(self, share: float) -> bool:
        return self._chance.random() < share

    def _visit(self, search: str | None, wishes: tuple[Wish, ...]) -> Visit:
        chance = self._chance
        ending = chance.choices(list(ENDINGS), weights=list(ENDINGS.values()))[0]
        return Visit(
            search=search,
            looks_at=self._draw(),
            collects=self._happens(COLLECTING),
            forgets=self._happens(FORGETTING),
            wishes=wishes,
            ending=ending,
            good_card=chance.choice(GOOD_CARDS),
            bad_card=chance.choice(BAD_CARDS),
            browse_seconds=chance.uniform(0.1, 0.5) if search else 0.0,
            order_seconds=chance.uniform(0.2, 1.0) if wishes else 0.0,
            declined_seconds=chance.uniform(0.2, 1.0) if wishes and ending.declined_first else 0.0,
            pause_seconds=chance.expovariate(1 / MEAN_PAUSE_SECONDS),
        )

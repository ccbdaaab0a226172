"""One buyer: visits the marketplace at planned times and does what each visit's plan says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from cli.account import Account
from cli.client import ProblemError, UnansweredError
from cli.contract import Order, Payment, Ticket
from cli.demonstration.interrupts import pause
from cli.demonstration.plan import MOST_TICKETS, Outcome, Planner, Visit
from cli.demonstration.tally import Tally

PATIENCE_SECONDS = 10.0
"""How long a buyer goes on with a request that is refused or not answered."""

UNPROCESSABLE = 422
ORDER_NOT_OPEN = "order_not_open"
PAYMENT_REQUIRED = 402
"""Whatever the bank had against the card."""
TOO_MANY_HELD = "too_many_held"
"""With long holds, whoever walks away often comes to the house's cap."""


class _Found(msgspec.Struct):
    items: list[Ticket]


class Buyer:
    """A buyer with an account of its own; all its orders belong to this run."""

    def __init__(self, account: Account, planner: Planner, tally: Tally, stop: asyncio.Event) -> None:
        self.account = account
        self.ordered = 0
        """Orders the marketplace said it made."""
        self.last_hold_ends_at = 0.0
        """On the loop's clock."""
        self._planner = planner
        self._tally = tally
        self._stop = stop
        self._most_tickets = MOST_TICKETS
        self._clock = asyncio.get_running_loop().time

    async def run(self, first_at: float, end_at: float) -> None:
        """Visits from `first_at` until `end_at`, on the loop's clock.

        The times of the visits are planned without regard to how fast the marketplace answers: a buyer whose last visit
        took too long begins the next one late, and the delay counts as latency of its first request.
        """
        meant_at = first_at
        draw: Callable[[int], Visit] = self._planner.first
        while meant_at < end_at and not self._stop.is_set():
            visit = draw(self._most_tickets)
            draw = self._planner.next
            if self._clock() < end_at:
                await pause(meant_at - self._clock(), self._stop)
                if self._stop.is_set():
                    return
                self._tally.visits += 1
                await self._visit(visit, meant_at)
            else:
                self._tally.visits_missed += 1
            meant_at += visit.planned_seconds

    async def _visit(self, visit: Visit, meant_at: float) -> None:
        try:
            if visit.search is not None:
                await self._search(visit.search, meant_at)
                meant_at = await self._think(visit.browse_seconds)
            if not visit.wishes:
                await self._look(visit)
                return
            order = await self._order(visit, meant_at)
            if order is not None:
                await self._end(order, visit)
        except (ProblemError, UnansweredError) as error:
            self._tally.failed(error)

    async def _think(self, seconds: float) -> float:
        """Waits as a person does between two steps; the moment at which the next request is meant to start."""
        meant_at = self._clock() + seconds
        await pause(seconds, self._stop)
        return min(meant_at, self._clock())

    async def _search(self, words: str, meant_at: float) -> None:
        query = {"q": words, "available": "true", "limit": "20"}
        with self._tally.timed("search", meant_at):
            await self.account.get("/tickets", _Found, query, PATIENCE_SECONDS)

    async def _look(self, visit: Visit) -> None:
        ticket_id = visit.looks_at.id
        await self.account.get(f"/tickets/{ticket_id}", Ticket, patience_seconds=PATIENCE_SECONDS)
        if not visit.collects:
            return
        await self.account.make("/collection", {"ticket_id": ticket_id}, msgspec.Raw, patience_seconds=PATIENCE_SECONDS)
        self._tally.collected += 1
        if visit.forgets:
            await self.account.delete(f"/collection/{ticket_id}", PATIENCE_SECONDS)

    async def _order(self, visit: Visit, meant_at: float) -> Order | None:
        """The order, or None when the marketplace does not sell that."""
        wanted = sum(wish.quantity for wish in visit.wishes)
        body = {"items": [{"ticket_id": wish.listing.id, "quantity": wish.quantity} for wish in visit.wishes]}
        try:
            with self._tally.timed("order", meant_at):
                order = await self.account.make("/orders", body, Order, patience_seconds=PATIENCE_SECONDS)
        except UnansweredError:
            self._tally.maybe_ordered += 1
            raise
        except ProblemError as problem:
            if problem.code == "sold_out":
                self._tally.sold_out += 1
            elif problem.code == TOO_MANY_HELD:
                self._tally.too_many += 1
            elif problem.status == UNPROCESSABLE and wanted > 1:
                self._tally.too_many += 1
                self._most_tickets = wanted // 2
            else:
                raise
            return None
        self._tally.ordered += 1
        self.ordered += 1
        if order.expires_at is not None:
            # The hold's length by the marketplace's clock, counted from now: the two clocks may differ.
            hold_seconds = (order.expires_at - order.created_at).total_seconds()
            self.last_hold_ends_at = max(self.last_hold_ends_at, self._clock() + hold_seconds)
        return order

    async def _end(self, order: Order, visit: Visit) -> None:
        meant_at = await self._think(visit.order_seconds)
        if visit.ending.declined_first:
            if not await self._pay(order, visit.bad_card, meant_at):
                return
            meant_at = await self._think(visit.declined_seconds)
        if visit.ending.outcome is Outcome.PAY:
            await self._pay(order, visit.good_card, meant_at)
        elif visit.ending.outcome is Outcome.CANCEL:
            await self._cancel(order)
        else:
            self._tally.walked_away += 1

    async def _cancel(self, order: Order) -> None:
        try:
            await self.account.delete(f"/orders/{order.id}", PATIENCE_SECONDS)
        except ProblemError as problem:
            if problem.code != ORDER_NOT_OPEN:
                raise
            self._tally.too_late += 1
        else:
            self._tally.cancelled += 1

    async def _pay(self, order: Order, card: str, meant_at: float) -> bool:
        """Tries one card; True when the order is still open for another."""
        body = {"order_id": order.id, "payment_method": card}
        try:
            with self._tally.timed("payment", meant_at):
                payment = await self.account.make("/payments", body, Payment, patience_seconds=PATIENCE_SECONDS)
        except UnansweredError:
            self._tally.maybe_paid.add(order)
            raise
        except ProblemError as problem:
            if problem.status == PAYMENT_REQUIRED:
                self._tally.declined_cards += 1
                return True
            if problem.code != ORDER_NOT_OPEN:
                raise
            if problem.after_silence:
                self._tally.maybe_paid.add(order)
            else:
                self._tally.too_late += 1
            return False
        (self._tally.paid if payment.status == "succeeded" else self._tally.maybe_paid).add(order)
        return False

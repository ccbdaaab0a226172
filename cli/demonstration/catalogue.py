"""The demo's seller and what it sells: the matches, and a few last tickets."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.account import Account
from cli.client import ProblemError
from cli.contract import Ticket
from cli.meter import Meter
from data import world_cup

LISTING_TASKS = 8
"""Listings made at the same time: enough for the store to write them in groups."""

QUIET_SECONDS = 0.5
"""Two readings this far apart that say the same are taken for the state before the run."""

MAX_READINGS = 60
LAST_TICKETS = "Last tickets"


@dataclass(frozen=True)
class Shelf:
    """How many tickets of one listing are where."""

    quantity: int
    available: int
    held: int
    sold: int

    @classmethod
    def of(cls, ticket: Ticket) -> Shelf:
        return cls(ticket.quantity, ticket.available, ticket.held, ticket.sold)


@dataclass(frozen=True)
class Listing:
    """One listing of the demo: `capacity` is what it was listed with, `before` how it stood when the run began."""

    id: str
    title: str
    round: str
    capacity: int
    before: Shelf


@dataclass(frozen=True)
class Catalogue:
    """Everything the buyers of one run may buy. `reused` of the matches were listed by an earlier run."""

    matches: tuple[Listing, ...]
    last_tickets: Listing
    reused: int

    @property
    def all(self) -> tuple[Listing, ...]:
        return (*self.matches, self.last_tickets)


async def listed(account: Account, ids: Iterable[str]) -> dict[str, Ticket]:
    """The seller's listings among `ids`, as the read model has them, by id."""
    wanted = set(ids)
    return {
        ticket.id: ticket
        async for ticket in account.pages(f"/users/{account.id}/tickets", Ticket)
        if ticket.id in wanted
    }


async def stock(account: Account, hold_seconds: int, last_tickets: int, meter: Meter) -> Catalogue:
    """Lists what is not listed yet: every match once, and one new listing of `last_tickets` tickets for the final.

    An earlier run's listing of a match is used again while it is open with the stadium's capacity and in the future.
    """
    bodies = world_cup.listings(datetime.now(UTC), hold_seconds)
    known = {
        ticket.title: ticket
        async for ticket in account.pages(f"/users/{account.id}/tickets", Ticket)
        if _usable(ticket)
    }
    places = asyncio.Semaphore(LISTING_TASKS)

    async def place(match: world_cup.Match, body: dict[str, Any]) -> Listing:
        async with places:
            ticket = known.get(match.title)
            if ticket is None or ticket.quantity != match.capacity:
                ticket = await account.make("/tickets", body, Ticket)
            elif ticket.hold_seconds not in (None, hold_seconds):
                await _ask_for_hold(account, ticket, hold_seconds)
        meter.advance()
        return Listing(ticket.id, match.title, match.round, match.capacity, Shelf.of(ticket))

    matches = await asyncio.gather(*(place(m, b) for m, b in zip(world_cup.matches(), bodies, strict=True)))
    last = await _list_last_tickets(account, bodies[-1], last_tickets)
    meter.advance()
    old = {ticket.id for ticket in known.values()} & {listing.id for listing in matches}
    if old:
        matches = await _as_they_stand(account, matches, old)
    return Catalogue(tuple(matches), last, len(old))


def _usable(ticket: Ticket) -> bool:
    return ticket.status != "withdrawn" and ticket.event.starts_at > datetime.now(UTC) + timedelta(days=1)


async def _ask_for_hold(account: Account, ticket: Ticket, hold_seconds: int) -> None:
    try:
        await account.change(f"/tickets/{ticket.id}", {"hold_seconds": hold_seconds})
    except ProblemError as problem:
        if problem.code != "ticket_locked":
            raise
        # Somebody holds tickets of it: this run goes on with the hold it was listed with.


async def _list_last_tickets(account: Account, final: dict[str, Any], quantity: int) -> Listing:
    title = f"{LAST_TICKETS} {secrets.token_hex(3)}: {final['title']}"
    ticket = await account.make("/tickets", {**final, "title": title, "quantity": quantity}, Ticket)
    return Listing(ticket.id, f"{LAST_TICKETS}: {final['title']}", LAST_TICKETS, quantity, Shelf.of(ticket))


async def _as_they_stand(account: Account, matches: list[Listing], old: set[str]) -> list[Listing]:
    """The listings with the figures of now: an earlier run's holds may be ending, or the read model catching up."""
    seen: dict[str, Shelf] = {}
    for _ in range(MAX_READINGS):
        now = {id_: Shelf.of(ticket) for id_, ticket in (await listed(account, old)).items()}
        if now == seen and not any(shelf.held for shelf in now.values()):
            break
        seen = now
        await asyncio.sleep(QUIET_SECONDS)
    return [replace(listing, before=seen.get(listing.id, listing.before)) for listing in matches]

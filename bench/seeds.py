"""Listings and orders by the thousand, told to the aggregates as the API tells them, without HTTP in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeVar
from uuid import UUID, uuid4

from adapters.event_store import PostgresEventStore
from domain.actors import Actors
from domain.aggregate import Cause
from domain.listing import EventDetails, Listing
from domain.marketplace import Ask, Marketplace, Wanted
from domain.money import Money

AT_ONCE = 1_000
"""Commands that wait together."""

A = TypeVar("A")
R = TypeVar("R")


def listing(number: int = 0, quantity: int = 1_000_000, amount: int = 4_500) -> Listing:
    """One that costs something."""
    starts_at = datetime.now(UTC) + timedelta(days=30 + number % 300)
    details = EventDetails(f"Concert {number}", starts_at, f"Hall {number % 50}", None, "concert")
    return Listing(f"Row {number % 40}, standing", details, Money(amount, "EUR"), quantity)


class Seeds:
    """Makes them, many at once."""

    def __init__(self, marketplace: Marketplace) -> None:
        self._marketplace = marketplace

    async def listings(self, seller: UUID, listings: Iterable[Listing]) -> list[UUID]:
        """Lists all of them; their ids."""
        return await _all(
            lambda listing: self._marketplace.offer(uuid4(), seller, listing, _ask(lambda ticket: ticket.id)), listings
        )

    async def orders(self, tickets: Iterable[UUID], buyer: UUID) -> list[UUID]:
        """An order of one unit of each; their ids."""
        return await _all(
            lambda ticket: self._marketplace.place_order(
                uuid4(), buyer, [Wanted(ticket, 1)], _ask(lambda order: order.id)
            ),
            tickets,
        )

    async def cancel(self, orders: Iterable[UUID], buyer: UUID) -> None:
        """Cancels all of them."""
        await _all(lambda order: self._marketplace.cancel_order(order, buyer, _ask(lambda _: None)), orders)


@asynccontextmanager
async def seeds(database_url: str, hold_seconds: int = 24 * 3600) -> AsyncIterator[Seeds]:
    """With actors of their own, for the `with` block."""
    actors = Actors(PostgresEventStore(database_url))
    actors.start()
    try:
        yield Seeds(Marketplace(actors, hold_seconds))
    finally:
        await actors.stop()


def sow_listings(database_url: str, seller: UUID, listings: Iterable[Listing]) -> list[UUID]:
    """Listings, for who needs nothing else."""

    async def sow() -> list[UUID]:
        async with seeds(database_url) as making:
            return await making.listings(seller, listings)

    return asyncio.run(sow())


async def _all(tell: Callable[[A], Awaitable[R]], arguments: Iterable[A]) -> list[R]:
    remaining = iter(arguments)
    answers: list[R] = []
    while batch := list(islice(remaining, AT_ONCE)):
        answers += await asyncio.gather(*map(tell, batch))
    return answers


def _ask(answer: Callable[[A], R]) -> Ask[A, R]:
    return Ask(Cause(None, uuid4(), uuid4()), answer)

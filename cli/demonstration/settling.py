"""After the buying: waits until holds have ended and read models have caught up, and collects the evidence."""

from __future__ import annotations

import asyncio

from rich.console import Console

from cli.account import Account
from cli.contract import Order
from cli.demonstration.audit import Evidence, OrderBook, differences
from cli.demonstration.buyer import Buyer
from cli.demonstration.catalogue import Catalogue, Shelf, listed
from cli.demonstration.interrupts import Interrupts, pause
from cli.demonstration.tally import Tally
from cli.meter import Meter

LONGEST_HOLD_WAIT_SECONDS = 120.0
"""A listing of an earlier run may have a longer hold: its orders are then left open, and counted so."""

CATCH_UP_SECONDS = 30.0
"""From the last deadline until every expiry and every sale must be visible."""

POLL_SECONDS = 0.5
READING_TASKS = 16


class Settling:
    """Collects the evidence of one run; orders that cannot change any more are read once."""

    def __init__(self, seller: Account, catalogue: Catalogue, buyers: list[Buyer], tally: Tally) -> None:
        self._seller = seller
        self._catalogue = catalogue
        self._buyers = buyers
        self._tally = tally
        self._books: dict[str, OrderBook] = {}
        self._places = asyncio.Semaphore(READING_TASKS)
        self._clock = asyncio.get_running_loop().time

    async def wait_for_holds(self, console: Console, interrupts: Interrupts) -> None:
        """Waits until the last hold's deadline, bounded by `LONGEST_HOLD_WAIT_SECONDS`."""
        begin = self._clock()
        seconds = min(self._last_deadline() - begin, LONGEST_HOLD_WAIT_SECONDS)
        if seconds <= 0:
            return
        with Meter(console, "Waiting for the last holds to end (s)", seconds) as meter:
            while (waited := self._clock() - begin) < seconds and not interrupts.hurry.is_set():
                meter.to(waited)
                await pause(min(POLL_SECONDS, seconds - waited), interrupts.hurry)
            meter.to(min(self._clock() - begin, seconds))

    async def evidence(self, console: Console, interrupts: Interrupts) -> Evidence:
        """Asks until everything adds up, `CATCH_UP_SECONDS` are over or the user is in a hurry.

        Raises:
            ClientError: the marketplace does not tell.
        """
        begin = self._clock()
        with Meter(console, "Reading how it ended (s)", CATCH_UP_SECONDS) as meter:
            while True:
                found = await self._ask()
                off = differences(self._catalogue, self._tally, found)
                waited = self._clock() - begin
                meter.to(min(waited, CATCH_UP_SECONDS), f"{len(off)} still to settle" if off else "settled")
                if not off or waited > CATCH_UP_SECONDS or interrupts.hurry.is_set():
                    return found
                await pause(POLL_SECONDS, interrupts.hurry)

    def _last_deadline(self) -> float:
        return max((buyer.last_hold_ends_at for buyer in self._buyers), default=0.0)

    async def _ask(self) -> Evidence:
        all_due = self._clock() > self._last_deadline()
        await asyncio.gather(*(self._read(buyer) for buyer in self._buyers if not self._is_final(buyer)))
        tickets = await listed(self._seller, (listing.id for listing in self._catalogue.all))
        shelves = {id_: Shelf.of(ticket) for id_, ticket in tickets.items()}
        return Evidence(OrderBook.of(self._books.values()), shelves, all_due)

    def _is_final(self, buyer: Buyer) -> bool:
        book = self._books.get(buyer.account.id)
        return book is not None and not book.open and book.statuses.total() >= buyer.ordered

    async def _read(self, buyer: Buyer) -> None:
        async with self._places:
            book = OrderBook()
            async for order in buyer.account.pages("/orders", Order):
                book.add(order)
            self._books[buyer.account.id] = book

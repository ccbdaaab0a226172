"""One run of the demo, from the first request to the result."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.account import Account
from cli.client import Client, ClientError
from cli.demonstration import catalogue as shop
from cli.demonstration.audit import Evidence, differences
from cli.demonstration.crowd import run_buyers, sign_up
from cli.demonstration.interrupts import Interrupts
from cli.demonstration.report import Result
from cli.demonstration.seller import SellerBook, open_seller
from cli.demonstration.settling import Settling
from cli.demonstration.tally import Tally
from cli.meter import Meter
from cli.target import CannotStartError, require_ready
from data import world_cup

CONNECTIONS = 256
"""To the marketplace. A request that waits for one is already late, and is counted so."""

FEWEST_LAST_TICKETS = 4
BUYERS_PER_LAST_TICKET = 8


@dataclass(frozen=True)
class Wanted:
    """What the user asked for."""

    url: str
    buyers: int
    seconds: float
    hold_seconds: int
    data_dir: Path


async def run(wanted: Wanted, console: Console) -> Result:
    """Lists the matches, lets the buyers loose and checks the outcome.

    Raises:
        CannotStartError: no marketplace answers, or it takes neither the listings nor a single buyer.
    """
    interrupts = Interrupts()
    with interrupts.listening():
        async with Client.connect(wanted.url, CONNECTIONS) as client:
            await require_ready(client)
            with SellerBook.open(wanted.data_dir) as book:
                return await _Run(client, wanted, console, interrupts).result(book)


class _Run:
    def __init__(self, client: Client, wanted: Wanted, console: Console, interrupts: Interrupts) -> None:
        self._client = client
        self._wanted = wanted
        self._console = console
        self._interrupts = interrupts
        self._tally = Tally()

    async def result(self, book: SellerBook) -> Result:
        seller, catalogue = await self._stock(book)
        accounts = await self._sign_up()
        clock = asyncio.get_running_loop().time
        begin = clock()
        with Meter(self._console, "Buying (s)", self._wanted.seconds) as meter:
            buyers = await run_buyers(
                accounts, catalogue, self._wanted.seconds, self._tally, meter=meter, stop=self._interrupts.stop
            )
        seconds = clock() - begin
        evidence, off = await self._settle(Settling(seller, catalogue, buyers, self._tally), catalogue)
        return Result(
            url=self._client.base_url,
            buyers=len(buyers),
            seconds=seconds,
            catalogue=catalogue,
            tally=self._tally,
            traffic=self._client.traffic,
            evidence=evidence,
            differences=off,
        )

    async def _stock(self, book: SellerBook) -> tuple[Account, shop.Catalogue]:
        last_tickets = max(FEWEST_LAST_TICKETS, self._wanted.buyers // BUYERS_PER_LAST_TICKET)
        try:
            seller = await open_seller(self._client, book)
            with Meter(self._console, "Listing the matches", world_cup.MATCHES + 1) as meter:
                catalogue = await shop.stock(seller, self._wanted.hold_seconds, last_tickets, meter)
        except ClientError as error:
            raise CannotStartError(f"the matches could not be listed: {error}") from error
        if catalogue.reused:
            self._console.print(
                f"{catalogue.reused} matches were listed by an earlier run; this one goes on with them."
            )
        return seller, catalogue

    async def _sign_up(self) -> list[Account]:
        wanted = self._wanted.buyers
        with Meter(self._console, "Signing up buyers", wanted) as meter:
            done = await sign_up(self._client, wanted, meter, self._interrupts.stop)
        if done.failure is not None:
            if not done.accounts:
                raise CannotStartError(f"no buyer could sign up: {done.failure}")
            text = f"Going on with {len(done.accounts)} of {wanted} buyers: {done.failure}"
            self._console.print(text, markup=False)
        return done.accounts

    async def _settle(self, settling: Settling, catalogue: shop.Catalogue) -> tuple[Evidence | None, list[str]]:
        try:
            await settling.wait_for_holds(self._console, self._interrupts)
            evidence = await settling.evidence(self._console, self._interrupts)
        except ClientError as error:
            return None, [f"the marketplace did not tell how it ended: {error}"]
        return evidence, differences(catalogue, self._tally, evidence)

"""The buyers of one run: signs them up and lets them loose."""

from __future__ import annotations

import asyncio
import random
import secrets
from dataclasses import dataclass
from typing import Any

from cli.account import Account
from cli.client import Client, ClientError
from cli.demonstration.buyer import Buyer
from cli.demonstration.catalogue import Catalogue
from cli.demonstration.plan import Planner
from cli.demonstration.tally import Tally
from cli.meter import Meter

SIGN_UP_TASKS = 8
"""Sign-ups at the same time: each costs the marketplace a password hash, which is slow on purpose."""

SIGN_UP_SECONDS = 300.0
"""For all of them: where a rate limit lets only a few through, the run goes on with those."""

OPENING_SECONDS = 1.0
"""The first visits are spread over this time."""

TICK_SECONDS = 0.25


@dataclass(frozen=True)
class SignUps:
    """The accounts that were made, and why there are not more of them."""

    accounts: list[Account]
    failure: str | None


async def sign_up(client: Client, wanted: int, meter: Meter, stop: asyncio.Event) -> SignUps:
    """Makes up to `wanted` accounts; a failure, `stop` or `SIGN_UP_SECONDS` ends it with fewer."""
    run = secrets.token_hex(5)
    numbers = iter(range(1, wanted + 1))
    accounts: list[Account] = []
    failure: str | None = None

    async def some() -> None:
        nonlocal failure
        for number in numbers:
            if stop.is_set() or failure is not None:
                return
            email = f"demo-buyer-{run}-{number}@example.org"
            try:
                account = await Account.sign_up(client, email, secrets.token_urlsafe(18), f"Demo buyer {number}")
            except ClientError as error:
                failure = str(error)
                return
            accounts.append(account)
            meter.advance(note=f"{client.traffic.refused.total():,} refused" if client.traffic.refused else "")

    work = asyncio.gather(*(some() for _ in range(SIGN_UP_TASKS)))
    stopped = asyncio.create_task(stop.wait())
    both: set[asyncio.Future[Any]] = {work, stopped}
    await asyncio.wait(both, timeout=SIGN_UP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    elif not stopped.done():
        failure = f"it took longer than {SIGN_UP_SECONDS:.0f} s"
    work.cancel()
    stopped.cancel()
    await asyncio.gather(work, stopped, return_exceptions=True)
    return SignUps(accounts, failure)


async def run_buyers(
    accounts: list[Account], catalogue: Catalogue, seconds: float, tally: Tally, *, meter: Meter, stop: asyncio.Event
) -> list[Buyer]:
    """Lets every account buy for `seconds` (or until `stop`), and returns when the last answer is there."""
    chance = random.Random()  # noqa: S311 - a demo's dice
    planner = Planner(catalogue, chance)
    buyers = [Buyer(account, planner, tally, stop) for account in accounts]
    clock = asyncio.get_running_loop().time
    begin = clock()
    end = begin + seconds
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(b.run(begin + chance.uniform(0, OPENING_SECONDS), end)) for b in buyers]
        while not all(task.done() for task in running):
            meter.to(min(clock() - begin, seconds), _note(tally))
            await asyncio.sleep(TICK_SECONDS)
    meter.to(min(clock() - begin, seconds), _note(tally))
    return buyers


def _note(tally: Tally) -> str:
    return f"{tally.ordered:,} orders, {tally.paid.orders:,} paid, {tally.sold_out:,} sold out"

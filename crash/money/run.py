"""A run from its start to its verdict: people and faults, then rest, then the books."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import psycopg

from bench.stand import Stand
from crash.client import Client, Person, Wish
from crash.context import Findings, Plan, Run, Say
from crash.faults import schedule
from crash.history import Recorder
from crash.money.books import Provider, differences, left_to_do, summary
from crash.money.customers import HOLD_SECONDS, Customer, Market, open_market
from crash.money.stripe import Stripe
from crash.storm import keep_up, one_fault
from crash.tree import Tree

CUSTOMERS = 200
SELLERS = 3
"""The last one never opens an account at Stripe, and is owed everything in the end."""

SETTINGS = {"STAGEDOOR_FEE_BPS": "350", "STAGEDOOR_PAYOUTS": "at_once"}

REST_SECONDS, LOOK_SECONDS = 600.0, 1.0
CATCH_UP_SECONDS = 120.0
BANK_SECONDS = 5.0
"""Refunds fail, and disputes come, up to a second later in the sandbox; then a webhook has to arrive."""


async def money_run(plan: Plan, orders: int, say: Say) -> Findings:
    """Runs it; what it found.

    Raises:
        RuntimeError: the marketplace did not start, or could not be asked afterwards.
    """
    findings = Findings(plan)
    tree = Tree(plan.folder / "up.log", **SETTINGS)
    try:
        await asyncio.to_thread(tree.start)
        say(f"{orders} orders of {CUSTOMERS} customers on {tree.url}")
        async with AsyncExitStack() as stack:
            file = stack.enter_context((plan.folder / "history.jsonl").open("wb"))
            recorder = Recorder(file)
            client = Client(tree.url, recorder, plan.seed)
            stack.push_async_callback(client.close)
            stripe = Stripe(tree)
            stack.push_async_callback(stripe.close)
            await _all(Run(plan, tree, client, recorder, findings, say), stripe, orders)
    finally:
        code = await asyncio.to_thread(tree.stop)
        tree.keep_logs(plan.folder / "logs")
        tree.remove()
    if code != 0:
        findings.add("the end", f"`stagedoor up` ended with {code} when asked to")
    return findings


async def _all(run: Run, stripe: Stripe, orders: int) -> None:
    chance = random.Random(f"{run.plan.seed} money")
    people = await asyncio.gather(*map(run.client.sign_up, range(CUSTOMERS + SELLERS)))
    market = Market(list(people[:SELLERS]), wanted=orders)
    for seller in market.sellers[:-1]:
        await _can_be_paid(run, stripe, seller, chance)
    await open_market(run.client, market, chance)
    await _with_faults(run, [Customer(run.client, one, market, stripe, run.plan.seed) for one in people[SELLERS:]])
    run.say(f"{market.made} orders were made")
    await asyncio.sleep(HOLD_SECONDS + BANK_SECONDS)
    disputes = await stripe.end_disputes(chance)
    await asyncio.sleep(BANK_SECONDS)
    run.say(f"{disputes} disputes are over: {dict(await stripe.disputes())}")
    await _come_to_rest(run, stripe)
    await _count(run, stripe)


async def _can_be_paid(run: Run, stripe: Stripe, seller: Person, chance: random.Random) -> None:
    """A seller goes through Stripe's onboarding, and the house hears of it."""
    link = Wish("money", "POST", "/api/payouts/account", {}).under_new_key(chance)
    made = await run.client.until_answered(seller, link, chance)
    if made.outcome != "ok":
        raise RuntimeError(f"no account: {made.status} {made.answer}")
    await stripe.onboard(made.body()["url"])
    for _ in range(60):
        account = (await run.client.read(seller, "/api/payouts"))["account"]
        if account is not None and account["transfers_enabled"]:
            return
        await asyncio.sleep(LOOK_SECONDS)
    raise RuntimeError("a seller did not come through onboarding")


async def _with_faults(run: Run, customers: list[Customer]) -> None:
    """Faults come until the last order has met its fate."""
    working = asyncio.gather(*(one.run() for one in customers))
    pauses: list[asyncio.Task[None]] = []
    with (run.plan.folder / "faults.jsonl").open("wb") as file:
        for fault in schedule(run.plan.seed):
            await asyncio.wait([working], timeout=fault.after_seconds)
            await keep_up(run)
            if working.done():
                break
            await one_fault(run, fault, file, pauses)
    await asyncio.gather(*pauses)
    await keep_up(run)
    await working


async def _come_to_rest(run: Run, stripe: Stripe) -> None:
    """Until nothing is left to do for the house, with an hourly reconciliation brought forward."""
    found = run.tree.found()
    on = Stand(found.url, found.database_url, run.tree.data_dir)
    give_up_at = time.monotonic() + REST_SECONDS
    began = time.monotonic()
    with psycopg.connect(found.database_url, autocommit=True) as connection:
        while True:
            said = await asyncio.to_thread(run.tree.command, "reconcile", "--json")
            await asyncio.to_thread(on.await_read_models, CATCH_UP_SECONDS)
            left = left_to_do(connection)
            news = _news(said.stdout) if said.stdout else [said.stderr]
            if (not left and not news and await stripe.is_quiet()) or time.monotonic() > give_up_at:
                break
            await asyncio.sleep(LOOK_SECONDS)
    if left or news:
        run.findings.add("rest", f"{left} orders still wait after {REST_SECONDS:.0f} s; reconcile says {news[:3]}")
    run.say(f"everything is at rest after {time.monotonic() - began:.1f} s")


def _news(report: str) -> list[Any]:
    """Differences, but for those that stay: refunds that no card takes."""
    return [one for one in msgspec.json.decode(report)["differences"] if one["kind"] != "owed"]


async def _count(run: Run, stripe: Stripe) -> None:
    provider = Provider(await stripe.balance(), await stripe.transferred())
    with psycopg.connect(run.tree.found().database_url, autocommit=True) as connection:
        for text in differences(connection, provider):
            run.findings.add("money", text)
        run.say(summary(connection))
    for command in ("verify", "ledger"):
        done = await asyncio.to_thread(run.tree.command, command)
        (run.plan.folder / f"{command}.txt").write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            said = " / ".join((done.stdout.strip() or done.stderr.strip()).splitlines()[-5:])
            run.findings.add(command, f"`stagedoor {command}` ended with {done.returncode}: {said}")

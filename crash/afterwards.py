"""After the faults: work goes on, everything comes to rest, and what there is then is looked at."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg

from bench.stand import Stand
from crash import linear
from crash.client import Person, Wish, repeated
from crash.context import Run
from crash.evidence import Evidence, collect, deadlines, endings
from crash.history import GOOD_CARD, OFFER, Try
from crash.people import MOST_HOLD_SECONDS, new_listing, new_order, new_payment

WORK_SECONDS = 60.0
"""After the last fault, how long it may take until a new order is made, paid and visible. A part that died often waits
ten seconds for its restart, and Kafka lets a worker that was paused or killed go after another ten."""

CATCH_UP_SECONDS = 120.0
SETTLE_SECONDS = 120.0
"""For deadlines to pass, and for refunds that failed to be tried again: each time they wait twice as long."""

WATCH_SECONDS = 0.5

_UNSETTLED = (
    "SELECT count(*) FROM buyer_orders WHERE status IN ('created', 'awaiting_payment')"
    " OR moves_due > 0 OR unsettled_charge_id IS NOT NULL"
    " OR (intent_open AND status IN ('cancelled', 'expired'))"
)


class _NotDone(Exception):
    """A request that should be granted was not."""


async def work_goes_on(run: Run, seller: Person, buyer: Person) -> None:
    """Right after the last fault a new listing is made, ordered, paid and seen, without the hands of an operator."""
    chance, began = random.Random(f"{run.plan.seed} probe"), time.monotonic()
    try:
        async with asyncio.timeout(WORK_SECONDS):
            listing = await _answered(run, seller, chance, new_listing("Afterwards", 2, int(WORK_SECONDS)))
            order = await _answered(run, buyer, chance, new_order(listing.listing, 2))
            await _answered(run, buyer, chance, new_payment(order, GOOD_CARD))
            await repeated(
                lambda: run.client.read(buyer, f"/api/orders/{order.order}"),
                lambda shown: shown["status"] == "completed",
                chance,
            )
    except TimeoutError:
        run.findings.add("work goes on", f"{WORK_SECONDS:.0f} s after the faults no new order is paid and visible")
    except _NotDone as error:
        run.findings.add("work goes on", f"after the faults {error}")
    else:
        run.say(f"a new order is paid and visible after {time.monotonic() - began:.1f} s")


async def _answered(run: Run, person: Person, chance: random.Random, wish: Wish) -> Try:
    answered = await run.client.until_answered(person, wish.under_new_key(chance), chance)
    if answered.outcome != "ok":
        raise _NotDone(f"a new {wish.kind} was answered {answered.status} {answered.code}")
    return answered


def settle(run: Run) -> None:
    """Waits until deadlines, refunds and read models have come to rest."""
    found = run.tree.found()
    on = Stand(found.url, found.database_url, run.tree.data_dir)
    began = time.monotonic()
    time.sleep(MOST_HOLD_SECONDS)
    with psycopg.connect(found.database_url, autocommit=True) as connection:
        while True:
            try:
                on.await_read_models(CATCH_UP_SECONDS)
            except RuntimeError as error:
                run.findings.add("read models", str(error))
                return
            left = _count(connection)
            if not left or time.monotonic() > began + SETTLE_SECONDS:
                break
            time.sleep(WATCH_SECONDS)
    if left:
        run.findings.add("to be done", f"{left} orders still wait for the house after {SETTLE_SECONDS:.0f} s")
    run.say(f"everything is at rest after {time.monotonic() - began:.1f} s")


async def look(run: Run, buyers: Sequence[Person]) -> Evidence:
    """Asks for everything, and keeps it."""
    listings = [one.listing for one in run.recorder.tries if one.kind == OFFER and one.outcome == "ok"]
    known = dict.fromkeys(listing for listing in listings if listing is not None)
    evidence = await collect(run.client, buyers, known, run.tree.found())
    (run.plan.folder / "evidence.json").write_bytes(msgspec.json.encode(evidence))
    return evidence


def verify(run: Run) -> None:
    """Lets `stagedoor verify` compare the log with all that was made of it."""
    done = run.tree.command("verify")
    (run.plan.folder / "verify.txt").write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        said = " / ".join((done.stdout.strip() or done.stderr.strip()).splitlines()[-5:])
        run.findings.add("verify", f"`stagedoor verify` ended with {done.returncode}: {said}")


def linearize(run: Run, evidence: Evidence) -> None:
    """Lets the checker look for an order of events that explains what the clients saw."""
    holds = {
        event.subject: event.data["listing"]["hold_seconds"] for event in evidence.log if event.type == "TicketCreated"
    }
    path = run.plan.folder / "steps.jsonl"
    known = linear.Known(evidence.orders, holds, deadlines(evidence.log), endings(evidence.log))
    linear.write(path, linear.steps(run.recorder.tries, known))
    verdict = linear.check(path, run.plan.folder)
    run.say(verdict.text)
    if verdict.code == linear.ILLEGAL:
        run.findings.add("linearizability", verdict.text.replace("\n", " / "))
    elif verdict.code not in (None, linear.LINEARIZABLE):
        run.findings.undecided.append(f"the linearizability checker ended with {verdict.code}")


def _count(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute(_UNSETTLED).fetchone()
    assert row is not None
    return int(row[0])

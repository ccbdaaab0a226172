"""The time of the faults: people work, and a fault comes every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from crash.client import Person
from crash.context import Run
from crash.faults import PAUSE, Fault, end_pause, inject, schedule
from crash.people import Buyer, Shop

FINISH_SECONDS = 240.0
"""For what was begun under a key: somewhat more than it is repeated for (`crash.client.REPEAT_SECONDS`)."""


async def storm(
    run: Run, minutes: float, shop: Shop, buyers: Sequence[Person], calm: Callable[[], Awaitable[None]]
) -> None:
    """Returns when everybody has come to the end of what they had begun.

    Args:
        minutes: of faults.
        calm: is awaited as soon as the faults are over, while people still finish.
    """
    ended = asyncio.Event()
    people = [shop.run(ended), *(Buyer(run.client, one, shop, run.plan.seed).run(ended) for one in buyers)]
    working = [asyncio.create_task(one) for one in people]
    try:
        await _inject_faults(run, minutes)
        ended.set()
        await calm()
        done, late = await asyncio.wait(working, timeout=FINISH_SECONDS)
    finally:
        ended.set()
        for one in working:
            one.cancel()
    for one in done:
        one.result()
    if late:
        run.findings.add("work goes on", f"{len(late)} people still wait {FINISH_SECONDS:.0f} s after the last fault")


async def _inject_faults(run: Run, minutes: float) -> None:
    end_at = time.monotonic() + 60 * minutes
    pauses: list[asyncio.Task[None]] = []
    with (run.plan.folder / "faults.jsonl").open("wb") as file:
        for fault in schedule(run.plan.seed):
            await asyncio.sleep(min(fault.after_seconds, max(0.0, end_at - time.monotonic())))
            await keep_up(run)
            if time.monotonic() >= end_at:
                break
            await one_fault(run, fault, file, pauses)
    await asyncio.gather(*pauses)
    await keep_up(run)


async def one_fault(run: Run, fault: Fault, file: Any, pauses: list[asyncio.Task[None]]) -> None:
    """Does it and writes it down; a pause goes on as one of `pauses`."""
    done = await asyncio.to_thread(inject, fault, run.tree)
    file.write(msgspec.json.encode(done) + b"\n")
    file.flush()
    run.say(f"{fault.kind} {fault.part}: {done.what}")
    if fault.kind == PAUSE:
        pauses.append(asyncio.create_task(end_pause(fault, run.tree)))


async def keep_up(run: Run) -> None:
    """No fault here should end `stagedoor up` itself; if one did, an operator starts it again."""
    if not run.tree.lives():
        run.findings.add("work goes on", f"`stagedoor up` ended by itself: {run.tree.last_words()}")
        await asyncio.to_thread(run.tree.start)

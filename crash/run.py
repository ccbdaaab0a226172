"""A crash run from its start to its verdict."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from crash.afterwards import linearize, look, settle, verify, work_goes_on
from crash.client import Client
from crash.context import Findings, Plan, Run, Say
from crash.history import Recorder, Try
from crash.invariants import check_all
from crash.people import Shop
from crash.storm import storm
from crash.tree import Tree

BUYERS = 36


async def crash_run(plan: Plan, minutes: float, say: Say) -> Findings:
    """Runs it, with faults for so long; what it found.

    Raises:
        RuntimeError: the marketplace did not start, or could not be asked afterwards.
    """
    findings = Findings(plan)
    tree = Tree(plan.folder / "up.log")
    try:
        await asyncio.to_thread(tree.start)
        say(f"{BUYERS} buyers on {tree.url}, faults for {minutes:g} min")
        with (plan.folder / "history.jsonl").open("wb") as file:
            recorder = Recorder(file)
            async with _client(tree.url, recorder, plan.seed) as client:
                await _all(Run(plan, tree, client, recorder, findings, say), minutes)
    finally:
        code = await asyncio.to_thread(tree.stop)
        tree.keep_logs(plan.folder / "logs")
        tree.remove()
    if code != 0:
        findings.add("the end", f"`stagedoor up` ended with {code} when asked to")
    return findings


@asynccontextmanager
async def _client(url: str, recorder: Recorder, seed: int) -> AsyncIterator[Client]:
    client = Client(url, recorder, seed)
    try:
        yield client
    finally:
        await client.close()


async def _all(run: Run, minutes: float) -> None:
    seller, *buyers = await asyncio.gather(*map(run.client.sign_up, range(BUYERS + 2)))
    shop = Shop(run.client, seller, run.plan.seed)
    await shop.open()
    guest = buyers[-1]
    await storm(run, minutes, shop, buyers[:-1], lambda: work_goes_on(run, seller, guest))
    await asyncio.to_thread(settle, run)
    evidence = await look(run, buyers)
    for what, text in check_all(run.recorder.tries, evidence):
        run.findings.add(what, text)
    await asyncio.to_thread(verify, run)
    await asyncio.to_thread(linearize, run, evidence)
    run.say(_summary(run.recorder.tries))


def _summary(tries: Sequence[Try]) -> str:
    counts = Counter((one.kind, one.outcome) for one in tries)
    told = ", ".join(f"{count} {kind} {outcome}" for (kind, outcome), count in sorted(counts.items()))
    return f"{len(tries)} requests: {told}"

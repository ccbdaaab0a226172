"""What goes wrong, and when: decided by the seed alone."""

from __future__ import annotations

import asyncio
import random
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgspec
import psycopg

from crash.tree import Tree

KILL, PAUSE, TERMINATE_BACKENDS, LOSE_ANSWERS, KILL_TREE = (
    "kill", "pause", "terminate backends", "lose answers", "kill tree",
)  # fmt: skip

KINDS = (
    *((KILL, part) for part in ("api", "relay", "worker", "postgres", "broker", "sandbox")),
    *((PAUSE, part) for part in ("api", "relay", "worker", "broker")),
    (TERMINATE_BACKENDS, "postgres"),
    (LOSE_ANSWERS, "sandbox"),
    (KILL_TREE, "all"),
)
"""Dealt like a deck of cards: each comes once before any comes again. So a short run has nearly all of them, and no
part dies so often (six times in a minute) that `stagedoor up` lets it wait, which is tested elsewhere."""

LEAST_APART_SECONDS, MOST_APART_SECONDS = 2.0, 5.0
LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 1.0, 5.0
CHARGES_WITHOUT_ANSWER = 3

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Never through a proxy that the environment names."""

_TERMINATE = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


class Fault(msgspec.Struct, frozen=True):
    """One thing that goes wrong."""

    after_seconds: float
    """After the one before it was done."""
    kind: str
    part: str
    lasting_seconds: float = 0.0
    """Of a pause; the next fault does not wait for its end."""


class Injected(msgspec.Struct, frozen=True):
    """A fault that was done."""

    fault: Fault
    at: float
    """Seconds since 1970."""
    what: str


def schedule(seed: int) -> Iterator[Fault]:
    """Faults without end."""
    chance = random.Random(f"{seed} faults")
    last: tuple[str, str] | None = None
    while True:
        deck = _shuffled(chance, last)
        last = deck[-1]
        for kind, part in deck:
            lasting = chance.uniform(LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS) if kind == PAUSE else 0.0
            yield Fault(chance.uniform(LEAST_APART_SECONDS, MOST_APART_SECONDS), kind, part, lasting)


def inject(fault: Fault, tree: Tree) -> Injected:
    """Does it; returns when it is done, and a killed tree has been started again. A pause goes on.

    Raises:
        RuntimeError: the tree did not die, or did not start again.
    """
    at = time.time()
    if fault.kind == KILL_TREE:
        tree.kill()
        tree.start()
        what = f"killed, ready again after {time.time() - at:.1f} s"
    elif fault.kind == TERMINATE_BACKENDS:
        what = _terminate_backends(tree)
    elif fault.kind == LOSE_ANSWERS:
        what = _lose_answers(tree)
    else:
        number = signal.SIGKILL if fault.kind == KILL else signal.SIGSTOP
        pid = tree.signal(fault.part, number)
        what = "was down already" if pid is None else f"{number.name} to process {pid}"
    return Injected(fault, at, what)


async def end_pause(fault: Fault, tree: Tree) -> None:
    """Lets a paused part go on when its time has come."""
    await asyncio.sleep(fault.lasting_seconds)
    tree.signal(fault.part, signal.SIGCONT)


def _shuffled(chance: random.Random, last: tuple[str, str] | None) -> list[tuple[str, str]]:
    """All kinds in random order, no part twice in a row: what is down cannot be hit."""
    for _ in range(1_000):  # about one order in five will do
        deck = chance.sample(KINDS, len(KINDS))
        if all(one[1] != next_[1] for one, next_ in pairwise([*([last] if last else []), *deck])):
            return deck
    raise AssertionError("no such order of faults")


def _terminate_backends(tree: Tree) -> str:
    with suppress(psycopg.Error, RuntimeError):
        with psycopg.connect(tree.found().database_url, autocommit=True, connect_timeout=5) as connection:
            row = connection.execute(_TERMINATE).fetchone()
        return f"{row[0] if row else 0} connections ended"
    return "PostgreSQL was down already"


def _lose_answers(tree: Tree) -> str:
    body: dict[str, Any] = {"answer_lost_after_charging": CHARGES_WITHOUT_ANSWER}
    with suppress(OSError, RuntimeError):
        request = urllib.request.Request(
            f"{tree.found().stripe_api_base}/_sandbox/faults",
            data=msgspec.json.encode(body),
            headers={"Content-Type": "application/json"},
        )
        with _direct.open(request, timeout=5):
            return f"the next {CHARGES_WITHOUT_ANSWER} charges are made and not answered"
    return "the sandbox was down already"

"""Memory: what an API process has resident while it takes 200,000 orders.

All orders go to one listing whose holds last a second and are never paid: once its units are all held, each new order
takes over one whose deadline has passed. So what has to be remembered stays the same, and memory that grows is memory
that leaks. The API runs with PostgreSQL alone: relay and worker are other processes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import median

from bench.api_alone import Api, NewDatabase, api_alone, database_server
from bench.driver import Load, Outcome, drive
from bench.figures import Bar, Figure, Plan
from bench.people import make_accounts, make_tokens
from bench.requests import Orders
from bench.seeds import listing, sow_listings

ORDERS = 200_000
LEAST_ORDERS = 60_000
"""With fewer the caches (of 20,000 aggregates) are still being filled in the second half."""

LIMIT_SECONDS = 480.0
"""For the orders: access tokens last ten minutes."""

CONNECTIONS = 32
BUYERS = 500
SAMPLE_SECONDS = 0.1
MEGABYTE = 1_000_000
AIM_MB = 250
HOLD_SECONDS = 1
UNITS = 20_000
"""Several seconds' worth, all of them held long before the second half."""

Samples = list[tuple[float, int]]
"""Of the monotonic clock, and bytes."""


def run(plan: Plan) -> Sequence[Figure]:
    """One figure, judged by flatness; how much it is stands beside it."""
    count = plan.scaled(ORDERS, LEAST_ORDERS)
    with database_server() as new_database:
        runs = [_one_run(new_database, f"memory_{number}", count) for number in range(plan.runs)]
    at_end = median(samples[-1][1] for _, samples in runs) / MEGABYTE
    return [
        Figure(
            name=f"memory: API process over the second half of {count:,} orders",
            judged=[_growth(outcome, samples) for outcome, samples in runs],
            unit="×",
            bar=Bar(1.20, 1.20, below=True),
            figure=f"{at_end:.0f} MB after {count:,} orders (aim: at most {AIM_MB} MB)",
            limit="what it had after the first half",
            details={
                "runs": [
                    {
                        "orders_per_second": round(outcome.per_second),
                        "mb_by_second": [(round(at - samples[0][0], 1), now // MEGABYTE) for at, now in samples[::10]],
                    }
                    for outcome, samples in runs
                ],
            },
        )
    ]


def _growth(outcome: Outcome, samples: Samples) -> float:
    """The most that was resident after half of the orders, by what was at half."""
    half_at = outcome.started_at + outcome.finished[outcome.answered // 2]
    at_half = [resident for at, resident in samples if at <= half_at][-1]
    return max(resident for at, resident in samples if at > half_at) / at_half


def _one_run(new_database: NewDatabase, name: str, count: int) -> tuple[Outcome, Samples]:
    database_url = new_database(name)
    seller, *buyers = make_accounts(database_url, BUYERS + 1)
    hot = replace(listing(quantity=UNITS), hold_seconds=HOLD_SECONDS)
    tickets = sow_listings(database_url, seller, [hot])
    with api_alone(database_url) as api:
        orders = Orders(make_tokens(database_url, buyers), tickets)
        with _sampled(api) as samples:
            outcome = drive(Load(api.url, CONNECTIONS, orders, seconds=LIMIT_SECONDS, count=count)).only(201)
    if outcome.answered < count:
        raise RuntimeError(f"{outcome.answered:,} of {count:,} orders in {LIMIT_SECONDS:.0f} s")
    return outcome, samples


@contextmanager
def _sampled(api: Api) -> Iterator[Samples]:
    """Grows for the `with` block, and has a last sample from its end."""
    samples: Samples = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_SECONDS):
            samples.append((time.monotonic(), api.memory_bytes()))

    sampling = threading.Thread(target=sample)
    sampling.start()
    try:
        yield samples
    finally:
        over.set()
        sampling.join()
    samples.append((time.monotonic(), api.memory_bytes()))

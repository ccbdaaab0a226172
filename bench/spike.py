"""Fifty thousand reservations fired at once, every one of them answered durably."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.figures import Bar, Figure, Plan
from bench.market import CREATED, Market, Sale, market

RESERVATIONS, CONNECTIONS, LISTINGS = 50_000, 1_000, 80

PATIENCE_SECONDS = 120.0
"""For the last answer, all having been due at the start."""

PUBLISHED = "published: Kafka Streams, Java, 16 vCPU and a managed Kafka, no accounts: 6.6 s, p50 1.14 s, p95 2.5 s"


def run(plan: Plan) -> Sequence[Figure]:
    """With one API process, the default, and with two."""
    return [_spike(plan, api_processes) for api_processes in (1, 2)]


def _spike(plan: Plan, api_processes: int) -> Figure:
    count = plan.scaled(RESERVATIONS, least=CONNECTIONS)
    with market(CONNECTIONS, api_processes=api_processes) as where:
        sales = [_all_at_once(where, count) for _ in range(plan.runs)]
    p50, p95 = (median(_seconds(sale, percent) for sale in sales) for percent in (50, 95))
    for sale in sales:
        sale.outcome.only(CREATED)
    return Figure(
        f"spike: {count:,} reservations at once, {LISTINGS} listings, {api_processes} API process"
        + ("es" if api_processes > 1 else ""),
        [sale.outcome.elapsed_seconds for sale in sales],
        "s",
        Bar(13, 5, below=True),
        f"p50 {p50:.2f} s, p95 {p95:.2f} s",
        PUBLISHED,
        {"orders": [sale.as_json() for sale in sales]},
    )


def _all_at_once(where: Market, count: int) -> Sale:
    listings = where.listings(LISTINGS)
    return where.order(CONNECTIONS, listings, count=count, rate=float("inf"), grace_seconds=PATIENCE_SECONDS)


def _seconds(sale: Sale, percent: float) -> float:
    return sale.outcome.percentile_ms(percent) / 1_000

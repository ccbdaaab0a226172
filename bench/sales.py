"""Sales: what a seller with a million lines in the ledger asks of `GET /api/analytics/sales`.

The lines are written by SQL: a sale of two tickets with the house's fee, paid out, every tenth given back; beside them
the lines of the charges, which are nobody's. They lie in 30 days, so that the default question reads all of them, or in
a year. Measured is the query (`projections/sales.py`), on an otherwise idle server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID

import psycopg

from adapters.database import make_pool
from bench.api_alone import database_server
from bench.figures import Bar, Figure, Plan
from projections.sales import Question, SalesQueries

LINES = 1_000_000
"""The seller's; there are as many and a quarter of others' beside them."""
LINES_OF_AN_ORDER = 3.2
DAYS = 30
NOW = datetime(2026, 11, 1, tzinfo=UTC)
SELLER = UUID(int=7)

_FILL = """
INSERT INTO ledger
SELECT md5('order' || o)::uuid, sequence, line, o * 4 + sequence,
    %(now)s - make_interval(secs => %(days)s * 86400.0 * (%(orders)s - o) / %(orders)s),
    type, account, CASE WHEN has_party THEN %(seller)s END,
    CASE WHEN has_ticket THEN md5('ticket' || o %% 200)::uuid END, quantity, amount, 'EUR', 'ref_' || o, NULL
FROM generate_series(1, %(orders)s) AS o, (VALUES
    (3, 1, 'ChargeCreated', 'stripe', false, false, NULL, 5000),
    (3, 2, 'ChargeCreated', 'buyers', false, false, NULL, -5000),
    (4, 1, 'OrderCompleted', 'buyers', false, false, NULL, 5000),
    (4, 2, 'OrderCompleted', 'sellers', true, true, 2, -4500),
    (4, 3, 'OrderCompleted', 'house', true, true, NULL, -500),
    (6, 1, 'TransferCreated', 'sellers', true, false, NULL, 4500),
    (6, 2, 'TransferCreated', 'stripe', false, false, NULL, -4500),
    (7, 1, 'OrderRefunded', 'sellers', true, true, -2, 4500),
    (7, 2, 'OrderRefunded', 'house', true, true, NULL, 500)
) AS l (sequence, line, type, account, has_party, has_ticket, quantity, amount)
WHERE sequence < 7 OR o %% 10 = 0
"""


def run(plan: Plan) -> Sequence[Figure]:
    """The question for 30 days, of a seller whose lines are all in them, and of one who has as many in a year."""
    orders = plan.scaled(round(LINES / LINES_OF_AN_ORDER))
    with database_server() as new_database:
        return [_figure(new_database(f"sales_{days}"), orders, days, plan.runs) for days in (DAYS, 365)]


def _figure(database_url: str, orders: int, days: int, runs: int) -> Figure:
    _fill(database_url, orders, days)
    seconds = asyncio.run(_ask(database_url, runs))
    return Figure(
        name=f"sales: {DAYS} days of a seller with {orders * LINES_OF_AN_ORDER:,.0f} lines in {days} days",
        judged=seconds,
        unit="s",
        bar=Bar(1.0, 0.5, below=True),
        figure=f"{median(seconds):.2f} s",
    )


def _fill(database_url: str, orders: int, days: int) -> None:
    values: dict[str, Any] = {"orders": orders, "days": days, "now": NOW, "seller": SELLER}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_FILL, values)
        connection.execute("VACUUM ANALYZE ledger")


async def _ask(database_url: str, runs: int) -> list[float]:
    question = Question(SELLER, NOW - timedelta(days=DAYS), NOW + timedelta(seconds=1), "day")
    seconds = []
    async with make_pool(database_url, max_size=1) as pool:
        queries = SalesQueries(pool)
        for _ in range(runs):
            began = time.perf_counter()
            found = await queries.sales(question)
            seconds.append(time.perf_counter() - began)
            assert found.totals()["EUR"].tickets > 0
    return seconds

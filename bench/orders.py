"""Orders a second, beside a bare aiohttp server that is asked by the same driver.

Everything that runs in production runs meanwhile: relay, broker and worker have the same processors.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg

from bench.bare import bare_server
from bench.charts import percentile_curve
from bench.driver import Load, Outcome, drive
from bench.figures import Bar, Figure, Plan
from bench.market import CREATED, Market, Sale, market, summary
from bench.requests import HELLO_POST
from cli.embedded import postgres_cluster

CONNECTIONS, MANY_CONNECTIONS, OPEN_LOOP_CONNECTIONS = 32, 128, 64
LISTINGS = 1_000

HOT, KEYED, SPREAD, ONE, EIGHT, MANY, TWO = (
    "one hot listing, 32 connections",
    "one hot listing, 32 connections, each order under an idempotency key",
    "1,000 listings, 32 connections",
    "one hot listing, 1 connection",
    "one hot listing, 8 connections",
    "one hot listing, 128 connections",
    "one hot listing, 128 connections, 2 API processes",
)
UNKEYED_OF_ONE_PROCESS = (HOT, ONE, EIGHT, MANY)
"""Where the highest rate is looked for, half of which the latencies are measured at."""

INSERT = "INSERT INTO bench_inserts (body) VALUES (repeat('x', 280));\n"
"""A row of about 300 bytes."""


@dataclass(frozen=True)
class _Round:
    """One run of everything but the latencies at half load."""

    sales: dict[str, Sale] = field(default_factory=dict)
    bare: dict[str, Outcome] = field(default_factory=dict)
    """The bare server, measured right before the load of this name."""
    inserts_per_second: list[float] = field(default_factory=list)

    def rate(self, name: str) -> float:
        return self.sales[name].outcome.per_second


def run(plan: Plan) -> Sequence[Figure]:
    """Rates of closed loops, then the latencies of an open loop at half of the highest rate of one process."""
    with bare_server() as bare_url:
        rounds = [_round(plan, f"{bare_url}/hello") for _ in range(plan.runs)]
    highest = max(median(made.rate(name) for made in rounds) for name in UNKEYED_OF_ONE_PROCESS)
    return [
        _beside_bare(rounds, HOT, Bar(0.20, 0.33)),
        _beside_bare(rounds, KEYED, Bar(0.20, 0.33)),
        _beside_bare(rounds, TWO, Bar(0.25, 0.50)),
        _beside_another(rounds, SPREAD, HOT, Bar(0.9, 1.0)),
        _beside_another(rounds, TWO, MANY, Bar(1.0, 1.4)),
        _latencies(plan, highest),
    ]


def _round(plan: Plan, bare_url: str) -> _Round:
    made = _Round()

    def beside_bare(where: Market, name: str, connections: int, *, keyed: bool = False) -> None:
        load = Load(bare_url, CONNECTIONS, HELLO_POST, seconds=plan.seconds)
        made.bare[name] = drive(load).only(CREATED)
        sell(where, name, connections, keyed=keyed)

    def sell(where: Market, name: str, connections: int, listings: int = 1, *, keyed: bool = False) -> None:
        sale = where.order(connections, where.listings(listings), keyed=keyed, seconds=plan.seconds)
        sale.outcome.only(CREATED)
        made.sales[name] = sale

    with market(MANY_CONNECTIONS) as one:
        beside_bare(one, HOT, CONNECTIONS)
        sell(one, SPREAD, CONNECTIONS, LISTINGS)
        beside_bare(one, KEYED, CONNECTIONS, keyed=True)
        sell(one, ONE, 1)
        sell(one, EIGHT, 8)
        sell(one, MANY, MANY_CONNECTIONS)
        # At the end: what it leaves to be written out would be written out during somebody else's load.
        made.inserts_per_second.append(_inserts_per_second(one.stand.database_url, plan.seconds / 2))
    with market(MANY_CONNECTIONS, api_processes=2) as two:
        beside_bare(two, TWO, MANY_CONNECTIONS)
    return made


def _beside_bare(rounds: Sequence[_Round], name: str, bar: Bar) -> Figure:
    """The ratio to the bare server. Both texts say what share of a processor the driver used: what does many times as
    much at the bare server is no bottleneck at the orders."""
    bare = [made.bare[name] for made in rounds]
    sales = [made.sales[name] for made in rounds]
    return Figure(
        f"orders: {name}",
        [sale.outcome.per_second / limit.per_second for sale, limit in zip(sales, bare, strict=True)],
        "×",
        bar,
        _words([sale.outcome for sale in sales], "orders/s"),
        _words(bare, "bare POST/s"),
        {
            "orders": [sale.as_json() for sale in sales],
            "bare": [summary(limit) for limit in bare],
            "pgbench_inserts_per_second": [rate for made in rounds for rate in made.inserts_per_second],
        },
    )


def _beside_another(rounds: Sequence[_Round], name: str, other: str, bar: Bar) -> Figure:
    sales, others = ([made.sales[which] for made in rounds] for which in (name, other))
    return Figure(
        f"orders: {name}",
        [made.rate(name) / made.rate(other) for made in rounds],
        "×",
        bar,
        _words([sale.outcome for sale in sales], "orders/s"),
        f"{_words([sale.outcome for sale in others], 'orders/s')}: {other}",
        {"orders": [sale.as_json() for sale in sales], "beside": [sale.as_json() for sale in others]},
    )


def _words(outcomes: Sequence[Outcome], unit: str) -> str:
    rate = median(outcome.per_second for outcome in outcomes)
    share = median(outcome.driver_cpu_share for outcome in outcomes)
    return f"{rate:,.0f} {unit}, driver at {share:.0%} of a core"


def _latencies(plan: Plan, highest: float) -> Figure:
    with market(OPEN_LOOP_CONNECTIONS) as where:
        sales = [
            where.order(OPEN_LOOP_CONNECTIONS, where.listings(), seconds=plan.seconds, rate=highest / 2)
            for _ in range(plan.runs)
        ]
    outcomes = [sale.outcome.only(CREATED) for sale in sales]
    return Figure(
        "orders: p99 at half of the highest rate",
        [outcome.percentile_ms(99) for outcome in outcomes],
        "ms",
        Bar(50, 20, below=True),
        f"{median(outcome.per_second for outcome in outcomes):,.0f} orders/s, counted from when each was due",
        f"highest rate {highest:,.0f} orders/s",
        {
            "orders": [sale.as_json() for sale in sales],
            "orders_per_second": highest / 2,
            "percentile_curves": [percentile_curve(outcome.latencies) for outcome in outcomes],
        },
    )


def _inserts_per_second(database_url: str, seconds: float) -> float:
    """What pgbench does with as many connections: one small row, one durable transaction each."""
    pgbench = postgres_cluster.locate(Path(".stagedoor")).programs / "pgbench"
    with psycopg.connect(database_url, autocommit=True) as connection, tempfile.TemporaryDirectory() as scripts:
        connection.execute("CREATE TABLE bench_inserts (id bigserial PRIMARY KEY, body text NOT NULL)")
        script = Path(scripts, "insert.sql")
        script.write_text(INSERT)
        limits = ("-c", str(CONNECTIONS), "-j", "1", "-T", str(max(1, round(seconds))))
        command = [str(pgbench), "-n", "-M", "prepared", "-f", str(script), *limits, database_url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        connection.execute("DROP TABLE bench_inserts")
    found = re.search(r"^tps = ([0-9.]+)", said, re.MULTILINE)
    assert found, said
    return float(found.group(1))

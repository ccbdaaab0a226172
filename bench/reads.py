"""Reading one listing and searching among many, beside a bare aiohttp server that is asked by the same driver."""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import psycopg

from bench.bare import bare_server
from bench.driver import Load, Outcome, drive
from bench.figures import Bar, Figure, Plan
from bench.market import Market, summary
from bench.requests import HELLO_GET, Same, get
from bench.stand import stand

CONNECTIONS = 32
LISTINGS, LEAST_LISTINGS = 100_000, 5_000
"""With fewer not every question below has a page of answers."""

READ_IN_TURN = 1_000
PAGE = 20
QUESTIONS = ("row+7", "hall+12", "standing", "concert+hall+3", "row+21+hall+21", "concert+standing", "row+1", "hall+49")
"""From one listing in 200 to all of them; `row+1` begins with eleven numbers."""

OK = 200


@dataclass(frozen=True)
class _Read:
    """One run."""

    bare: Outcome
    """Measured right before."""
    found: Outcome

    @property
    def ratio(self) -> float:
        return self.found.per_second / self.bare.per_second


def run(plan: Plan) -> Sequence[Figure]:
    """One listing, then a page of a search; the bare server is asked before each."""
    count = plan.scaled(LISTINGS, LEAST_LISTINGS)
    with bare_server() as bare_url, stand() as on:
        tickets = Market(on, buyers=0).listings(count)
        on.await_read_models()
        with psycopg.connect(on.database_url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE) ticket_listing")  # as autovacuum does within a minute
        some = random.Random(count).sample(tickets, READ_IN_TURN)  # the same at each run
        pages = [f"/api/tickets?q={question}&limit={PAGE}" for question in QUESTIONS]
        _check(on.url, pages)

        def read(paths: Sequence[str]) -> _Read:
            bare = drive(Load(f"{bare_url}/hello", CONNECTIONS, HELLO_GET, seconds=plan.seconds))
            found = drive(Load(on.url, CONNECTIONS, Same([get(path) for path in paths]), seconds=plan.seconds))
            return _Read(bare.only(OK), found.only(OK))

        rounds = [(read([f"/api/tickets/{ticket}" for ticket in some]), read(pages)) for _ in range(plan.runs)]
    ones, searches = zip(*rounds, strict=True)
    among = f"among {count:,} listings"
    return [
        _figure(f"reads: one listing {among}", ones, Bar(0.30, 0.60)),
        _figure(f"reads: a search page of {PAGE} {among}", searches, Bar(0.10, 0.25)),
    ]


def _figure(name: str, reads: Sequence[_Read], bar: Bar) -> Figure:
    p99 = median(read.found.percentile_ms(99) for read in reads)
    return Figure(
        name,
        [read.ratio for read in reads],
        "×",
        bar,
        f"{median(read.found.per_second for read in reads):,.0f} GET/s, p99 {p99:.1f} ms",
        f"{median(read.bare.per_second for read in reads):,.0f} bare GET/s",
        {
            "reads": [summary(read.found) for read in reads],
            "bare": [summary(read.bare) for read in reads],
        },
    )


def _check(url: str, paths: Sequence[str]) -> None:
    """A page that is not full would be easier to answer."""
    for path in paths:
        with urllib.request.urlopen(url + path, timeout=10) as answer:
            found = len(json.load(answer)["items"])
        if found != PAGE:
            raise RuntimeError(f"{path} found {found} listings, not {PAGE}")

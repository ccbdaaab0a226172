"""Growth: does an order cost the same when much has happened?

Two questions: an order among a million stored events against one among ten thousand, and an order on a listing that
had a million orders against one on a new listing. Order latency over HTTP, on 1 connection (one order at a time) and on
8, on an otherwise idle machine.

The pasts are made by `bench/history.py`. Each lies in a database of its own on one server, with an API process of its
own; they are measured in turn, run by run, so that whatever else the machine does meets them all. There is no relay and
no worker: what an order waits for is PostgreSQL alone, and they would take processor time that has nothing to do with
how much is stored. Every load adds its own few hundred orders, which the details count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from statistics import median
from uuid import UUID

import psycopg

from bench.api_alone import Api, NewDatabase, api_alone, database_server
from bench.driver import Load, drive_here
from bench.figures import Bar, Figure, Plan
from bench.history import Past, long_ago, roomy_listing, write
from bench.people import make_accounts, make_tokens
from bench.requests import Orders
from bench.seeds import sow_listings

EVENTS = (10_000, 100_000, 1_000_000)
PAST_ORDERS = 1_000_000
CONNECTIONS = (1, 8)
PEOPLE = 500
ORDERS, ROUNDS = 150, 4
"""Of one load, and loads on each place in a run: short and often, because the machine is not always equally fast, and
few against what is stored before."""

WARM_UP_ORDERS = 200
FLAT = Bar(1.3, 1.1, below=True)


@dataclass(frozen=True)
class _Ground:
    """A database with a past, and the listings that are ordered on."""

    database_url: str
    past: Past
    ticket_ids: Sequence[UUID]


@dataclass
class Place:
    """A listing in a database with a past, and what an order on it took."""

    database_url: str
    api: Api
    tokens: Sequence[str]
    ticket_id: UUID
    p50_ms: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in CONNECTIONS})
    """By connections, one a run."""

    def order(self, connections: int, count: int) -> list[float]:
        """Seconds that each order took."""
        orders = Orders(self.tokens, [self.ticket_id])
        return list(drive_here(Load(self.api.url, connections, orders, count=count)).only(201).latencies)

    def stored_events(self) -> int:
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute("SELECT count(*) FROM stored_events").fetchone()
        assert row is not None
        return int(row[0])


def run(plan: Plan) -> Sequence[Figure]:
    """Both questions, each on 1 and on 8 connections."""
    sizes = [plan.scaled(events, least=100) for events in EVENTS]
    past_orders = plan.scaled(PAST_ORDERS)
    with database_server() as new_database, ExitStack() as stack:
        grounds = [_among(new_database, events) for events in sizes]
        grounds.append(_on_a_listing(new_database, past_orders))
        places = [place for ground in grounds for place in _opened(stack, ground)]
        before = [place.stored_events() for place in places]
        _measure(places, plan)
        seen = [
            {
                "stored_events_before": stored,
                "stored_events_after": place.stored_events(),
                "api_memory_mb": round(place.api.memory_bytes() / 1e6),
                "p50_ms": {str(count): [round(ms, 3) for ms in runs] for count, runs in place.p50_ms.items()},
            }
            for stored, place in zip(before, places, strict=True)
        ]
    *by_size, old, new = places
    what = f"growth: order p50, {sizes[-1]:,} stored events against {sizes[0]:,}"
    figures = list(_figures(what, by_size[-1], by_size[0], {"curve": seen[: len(sizes)]}))
    what = f"growth: order p50, a listing with {past_orders:,} past orders against a new one"
    return [*figures, *_figures(what, old, new, {"old": seen[-2], "new": seen[-1]})]


def _measure(places: Sequence[Place], plan: Plan) -> None:
    for place in places:
        place.order(max(CONNECTIONS), WARM_UP_ORDERS)
    for _ in range(plan.runs):
        for connections in CONNECTIONS:
            latencies: list[list[float]] = [[] for _ in places]
            for _ in range(ROUNDS):
                for place, seconds in zip(places, latencies, strict=True):
                    seconds.extend(place.order(connections, ORDERS))
            for place, seconds in zip(places, latencies, strict=True):
                place.p50_ms[connections].append(1000 * median(seconds))


def _figures(what: str, grown: Place, small: Place, details: dict[str, object]) -> Iterator[Figure]:
    for connections in CONNECTIONS:
        big_ms, small_ms = grown.p50_ms[connections], small.p50_ms[connections]
        yield Figure(
            name=f"{what}, {connections} connection{'s' if connections > 1 else ''}",
            judged=[big / little for big, little in zip(big_ms, small_ms, strict=True)],
            unit="×",
            bar=FLAT,
            figure=f"{median(big_ms):.2f} ms",
            limit=f"{median(small_ms):.2f} ms",
            details=details,
        )


def _among(new_database: NewDatabase, events: int) -> _Ground:
    """A new listing among so many stored events."""
    database_url, past = _with_people(new_database, f"events_{events}", events // 5)
    write(database_url, past, chain(past.sign_ups(), past.mixed(events - PEOPLE)))
    return _Ground(database_url, past, sow_listings(database_url, past.seller, [roomy_listing()]))


def _on_a_listing(new_database: NewDatabase, orders: int) -> _Ground:
    """A listing with so many past orders, all of them cancelled again, and a new one beside it."""
    database_url, past = _with_people(new_database, "past_orders", orders)
    ticket = past.listed(roomy_listing())
    write(database_url, past, chain(past.sign_ups(), past.cancelled_orders(ticket, orders)))
    return _Ground(database_url, past, [ticket.id, *sow_listings(database_url, past.seller, [roomy_listing()])])


def _with_people(new_database: NewDatabase, name: str, orders: int) -> tuple[str, Past]:
    database_url = new_database(name)
    return database_url, Past(make_accounts(database_url, PEOPLE), long_ago(orders))


def _opened(stack: ExitStack, ground: _Ground) -> list[Place]:
    api = stack.enter_context(api_alone(ground.database_url))
    tokens = make_tokens(ground.database_url, ground.past.buyers)
    return [Place(ground.database_url, api, tokens, ticket_id) for ticket_id in ground.ticket_ids]

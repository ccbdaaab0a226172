"""Cold: the first order of a new API process, on a listing that had a million orders.

From the request to the answer, nothing warmed up: `/readyz` has answered, no order was placed. So it pays for all that
a first order pays for (the store's connection, the token's signature, statements not yet prepared) and for loading the
listing: its newest snapshot and the events since, which are nearly as many as there can be. The limit beside it is the
same in another new process on a listing without a past. The second order is in the details.

PostgreSQL runs, and has the pages of what it wrote last in memory; there is no relay and no worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from statistics import median
from uuid import UUID

from bench.api_alone import api_alone, database_server
from bench.driver import Load, drive_here
from bench.figures import Bar, Figure, Plan
from bench.history import Past, long_ago, roomy_listing, write
from bench.people import make_accounts, make_tokens
from bench.requests import Orders
from bench.seeds import sow_listings

PAST_ORDERS = 1_000_000
PEOPLE = 500
SNAPSHOT_AGE = 900
"""Events since the newest snapshot when the runs begin; at a thousand there is a new one."""


def run(plan: Plan) -> Sequence[Figure]:
    """One figure, from as many new processes as there are runs."""
    past_orders = plan.scaled(PAST_ORDERS)
    first_ms: dict[str, list[float]] = {"old": [], "new": []}
    second_ms: dict[str, list[float]] = {"old": [], "new": []}
    with database_server() as new_database:
        database_url = new_database("cold")
        past = Past(make_accounts(database_url, PEOPLE), long_ago(past_orders + SNAPSHOT_AGE))
        ticket = past.listed(roomy_listing())
        orders = past.cancelled_orders(ticket, past_orders, SNAPSHOT_AGE)
        events = write(database_url, past, chain(past.sign_ups(), orders))
        snapshot_age = ticket.version - ticket.snapshot_version
        [new_id] = sow_listings(database_url, past.seller, [roomy_listing()])
        tokens = make_tokens(database_url, past.buyers[:1])
        for _ in range(plan.runs):
            for name, ticket_id in (("new", new_id), ("old", ticket.id)):
                first, second = _order_twice(database_url, tokens, ticket_id)
                first_ms[name].append(first)
                second_ms[name].append(second)
    return [
        Figure(
            name=f"cold: first order on a listing with {past_orders:,} past orders, in a new process",
            judged=first_ms["old"],
            unit="ms",
            bar=Bar(250.0, 50.0, below=True),
            figure=f"{median(first_ms['old']):.1f} ms",
            limit=f"{median(first_ms['new']):.1f} ms on a new listing",
            details={
                "first_order_ms": first_ms,
                "second_order_ms": second_ms,
                "stored_events": events,
                "events_since_snapshot": snapshot_age,
            },
        )
    ]


def _order_twice(database_url: str, tokens: Sequence[str], ticket_id: UUID) -> tuple[float, float]:
    """Milliseconds of the first and the second order of a new process."""
    with api_alone(database_url) as api:
        orders = drive_here(Load(api.url, 1, Orders(tokens, [ticket_id]), count=2)).only(201)
    first, second = orders.latencies
    return 1000 * first, 1000 * second

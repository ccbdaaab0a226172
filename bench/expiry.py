"""Expiry: 100,000 holds fall due at the same moment.

A whole marketplace runs. One listing has 100,000 orders of one unit that nobody pays, all with one deadline; they are
written by `bench/history.py` and published and projected like any others, before it comes. From the deadline on it is
measured how long it takes until all of them are released: each order expired in the read model, its unit free in the
listing's row. Meanwhile buyers go on ordering on that listing and on another one, 200 a second, each due at its time
whether the marketplace keeps up or not: they must not wait for it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from bench.driver import Load, Outcome, drive
from bench.figures import Bar, Figure, Plan
from bench.history import Past, long_ago, roomy_listing, write
from bench.people import make_accounts, make_tokens
from bench.requests import Orders
from bench.seeds import sow_listings
from bench.stand import Stand, stand

HOLDS = 100_000
PEOPLE = 500
CONNECTIONS = 32
ORDERS_PER_SECOND = 200.0
BEFORE_SECONDS = 5.0
"""The load begins so long before the deadline, to have something to compare with."""

LOAD_SECONDS = 30
"""And goes on so long after it: as long as releasing may take."""

LEAST_LOAD_SECONDS = 5

LEAD_SECONDS, LEAD_SECONDS_A_HOLD = 15.0, 0.0005
"""From the making of the holds to their deadline: time to write, publish and project two events for each."""

LIMIT_SECONDS = 180.0
LOOK_SECONDS = 0.1

_OPEN = "SELECT EXISTS (SELECT FROM buyer_orders WHERE status IN ('created', 'awaiting_payment') AND expires_at = %s)"
_RELEASED = (
    "SELECT count(*), max(originator_version) FROM stored_events"
    " WHERE originator_id = %s AND topic = 'stagedoor.Ticket.Released'"
)
_ROW = "SELECT version, held FROM ticket_listing WHERE id = %s"
_EXPIRED_AFTER = (
    "SELECT extract(epoch FROM (convert_from(state, 'UTF8')::json ->> 'timestamp')::timestamptz - %s)::float8"
    " FROM stored_events WHERE topic = 'stagedoor.Order.Expired' AND notification_id > %s ORDER BY 1"
)
_LOG_END = "SELECT max(notification_id) FROM stored_events"


@dataclass(frozen=True)
class _Run:
    released_seconds: float
    """From the deadline until the read models show all units free."""
    expired_seconds: Sequence[float]
    """From the deadline to each order's end in the log, in order."""
    meanwhile_ms: Sequence[float]
    """Latencies of the orders that were due between the deadline and the release, in order."""
    before_ms: Sequence[float]
    """Of those due before the deadline."""
    api_memory_bytes: int


def run(plan: Plan) -> Sequence[Figure]:
    """Two figures: until all are released, and what buyers wait meanwhile."""
    holds = plan.scaled(HOLDS, least=100)
    with stand() as marketplace:
        people = make_accounts(marketplace.database_url, PEOPLE)
        past = Past(people, datetime.now(UTC))
        write(marketplace.database_url, past, past.sign_ups())
        load_seconds = plan.scaled(LOAD_SECONDS, LEAST_LOAD_SECONDS)
        runs = [_fall_due(marketplace, Past(people, long_ago(holds)), holds, load_seconds) for _ in range(plan.runs)]
    released = [one.released_seconds for one in runs]
    p50, p99 = (median(_at(one.expired_seconds, percent) for one in runs) for percent in (50, 99))
    waits = [_at(one.meanwhile_ms, 99) for one in runs]
    waited = [_at(one.before_ms, 99) for one in runs]
    details = {"runs": [_told(one) for one in runs]}
    return [
        Figure(
            name=f"expiry: {holds:,} holds due at once, from the deadline until all are released",
            judged=released,
            unit="s",
            bar=Bar(30.0, 5.0, below=True),
            figure=f"{median(released):.1f} s; in the log after p50 {p50:.1f} s, p99 {p99:.1f} s",
            details=details,
        ),
        Figure(
            name=f"expiry: order p99 meanwhile, {ORDERS_PER_SECOND:.0f} orders/s",
            judged=waits,
            unit="ms",
            bar=Bar(250.0, 50.0, below=True),
            figure=f"{median(waits):.1f} ms",
            limit=f"{median(waited):.1f} ms before the deadline",
            details=details,
        ),
    ]


def _fall_due(marketplace: Stand, past: Past, holds: int, load_seconds: float) -> _Run:
    """One listing whose holds all fall due.

    Raises:
        RuntimeError: something is missing, refused, late or left over.
    """
    due_at = datetime.now(UTC) + timedelta(seconds=LEAD_SECONDS + LEAD_SECONDS_A_HOLD * holds)
    due = time.monotonic() + (due_at - datetime.now(UTC)).total_seconds()
    hot = past.listed(roomy_listing())
    write(marketplace.database_url, past, past.open_orders(hot, holds, due_at))
    [other_id] = sow_listings(marketplace.database_url, past.seller, [roomy_listing()])
    marketplace.await_read_models()
    orders = Orders(make_tokens(marketplace.database_url, past.buyers), [hot.id, other_id])
    until = due - time.monotonic() - BEFORE_SECONDS
    if until < 0:
        raise RuntimeError(f"the holds were projected {-until:.1f} s too late: the deadline was too near")
    time.sleep(until)
    load = Load(marketplace.url, CONNECTIONS, orders, seconds=BEFORE_SECONDS + load_seconds, rate=ORDERS_PER_SECOND)
    with (
        psycopg.connect(marketplace.database_url, autocommit=True) as connection,
        ThreadPoolExecutor(1) as beside,
    ):
        end = _row(connection, _LOG_END)[0]
        driving = beside.submit(drive, load)
        time.sleep(due - time.monotonic())
        _await_release(connection, hot.id, due_at, holds)
        released = time.monotonic()
        memory = sum(marketplace.memory_bytes(part) for part in marketplace.parts() if part.startswith("api"))
        outcome = driving.result().only(201)
        _check_held(marketplace, connection, hot.id, outcome)
        expired = [row[0] for row in connection.execute(_EXPIRED_AFTER, (due_at, end))]
    if len(expired) != holds:
        raise RuntimeError(f"{len(expired)} orders expired of {holds}")
    before, meanwhile = _by_due_time(outcome, due, released)
    return _Run(released - due, expired, meanwhile, before, memory)


def _await_release(connection: psycopg.Connection[Any], hot_id: UUID, due_at: datetime, holds: int) -> None:
    give_up_at = time.monotonic() + LIMIT_SECONDS
    while _row(connection, _OPEN, due_at)[0]:
        _pause(give_up_at, "orders are still open")
    # The units of an order are released in the transaction that ends it: all of it is in the log by now.
    count, last = _row(connection, _RELEASED, hot_id)
    if count != holds:
        raise RuntimeError(f"{count} of {holds} holds were released")
    while _row(connection, _ROW, hot_id)[0] < last:
        _pause(give_up_at, "the listing's row is behind")


def _pause(give_up_at: float, why: str) -> None:
    if time.monotonic() > give_up_at:
        raise RuntimeError(f"{why} after {LIMIT_SECONDS:.0f} s")
    time.sleep(LOOK_SECONDS)


def _check_held(marketplace: Stand, connection: psycopg.Connection[Any], hot_id: UUID, outcome: Outcome) -> None:
    """Nothing is held on the hot listing but what the load ordered there, every second one of its orders."""
    marketplace.await_read_models()
    _, held = _row(connection, _ROW, hot_id)
    if held != (outcome.answered + 1) // 2:
        raise RuntimeError(f"{held} units are held, {outcome.answered} orders were made on two listings")


def _by_due_time(outcome: Outcome, due: float, released: float) -> tuple[list[float], list[float]]:
    """Milliseconds, in order, of the orders due before the deadline, and of those due between it and the release."""
    before, meanwhile = [], []
    for seconds, finished in zip(outcome.latencies, outcome.finished, strict=True):
        at = outcome.started_at + finished - seconds
        if at < due:
            before.append(1000 * seconds)
        elif at < released:
            meanwhile.append(1000 * seconds)
    return sorted(before), sorted(meanwhile)


def _at(ordered: Sequence[float], percent: int) -> float:
    """The percentile of sorted values."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def _told(one: _Run) -> dict[str, Any]:
    return {
        "released_seconds": one.released_seconds,
        "expired_in_the_log_seconds": {str(percent): _at(one.expired_seconds, percent) for percent in (0, 50, 99, 100)},
        "expired_by_second": sorted(Counter(int(seconds) for seconds in one.expired_seconds).items()),
        "orders_meanwhile": len(one.meanwhile_ms),
        "order_ms_meanwhile": {str(percent): _at(one.meanwhile_ms, percent) for percent in (50, 99, 100)},
        "order_ms_before": {str(percent): _at(one.before_ms, percent) for percent in (50, 99, 100)},
        "api_memory_mb": one.api_memory_bytes // 1_000_000,
    }


def _row(connection: psycopg.Connection[Any], query: LiteralString, *parameters: object) -> Any:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row

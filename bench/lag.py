"""From the answer to an order until a reader of the read model sees it, at half load, before and after a burst.

Probes are orders among the others. One process sends them and watches the read model, on one clock. An order is
committed shortly before its answer is there; the details have the time from the request too, which has all of it.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from queue import SimpleQueue
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import psycopg

from bench.driver import percentile_ms
from bench.figures import Bar, Figure, Plan
from bench.market import CREATED, Market, market, summary
from bench.people import make_tokens

CONNECTIONS = 32
BURST_SECONDS = 10
SETTLE_SECONDS = 2.0
"""Of load before the first probe that counts."""

PROBES_PER_SECOND = 100
SENDERS = 4
"""Threads that send probes in turn, so that a slow answer does not hold up the next probe."""

LOOK_SECONDS = 0.001
"""From one look into the read model to the next; the look itself takes less than another millisecond."""

PATIENCE_SECONDS = 60.0
VISIBLE = "SELECT id FROM buyer_orders WHERE id = ANY(%s) AND version >= 1"


@dataclass(frozen=True)
class _Probe:
    """One order; times of the monotonic clock."""

    sent_at: float
    answered_at: float
    seen_at: float = 0.0


@dataclass(frozen=True)
class _Probing:
    """What to probe, for how long."""

    url: str
    database_url: str
    token: str
    ticket: UUID
    seconds: float


@dataclass(frozen=True)
class _Lags:
    """What the probes of one load saw."""

    probes: Sequence[_Probe]
    looks_per_second: float
    """Into the read model."""
    load: dict[str, Any]

    def percentile_ms(self, percent: float) -> float:
        return percentile_ms([probe.seen_at - probe.answered_at for probe in self.probes], percent)

    def as_json(self) -> dict[str, Any]:
        from_request = [probe.seen_at - probe.sent_at for probe in self.probes]
        return {
            "probes": len(self.probes),
            "looks_per_second": round(self.looks_per_second),
            **{f"p{percent}_ms": round(self.percentile_ms(percent), 2) for percent in (50, 95, 99, 100)},
            **{f"p{percent}_ms_from_request": round(percentile_ms(from_request, percent), 2) for percent in (50, 99)},
            "load": self.load,
        }


@dataclass(frozen=True)
class _Round:
    full_rate: float
    before: _Lags
    after: _Lags
    drained_seconds: float
    """From the end of the burst until the read models had caught up."""


def run(plan: Plan) -> Sequence[Figure]:
    """Each run has a fresh marketplace, so that no earlier burst is before the first lag."""
    rounds = [_round(plan) for _ in range(plan.runs)]
    rate = median(made.full_rate for made in rounds) / 2
    drained = median(made.drained_seconds for made in rounds)
    figures = []
    for when, lags in (
        ("before a burst", [made.before for made in rounds]),
        ("after a burst", [made.after for made in rounds]),
    ):
        found = {"runs": [lag.as_json() for lag in lags], "drained_seconds": [made.drained_seconds for made in rounds]}
        for percent, bar in ((50, Bar(60, 20, below=True)), (99, Bar(250, 50, below=True))):
            figures.append(
                Figure(
                    f"lag: answer → visible at half load, {when}, p{percent}",
                    [lag.percentile_ms(percent) for lag in lags],
                    "ms",
                    bar,
                    f"at {rate:,.0f} orders/s" + (f", drained in {drained:.1f} s" if when.startswith("after") else ""),
                    details=found if percent == 50 else {},  # noqa: PLR2004 - once is enough
                )
            )
    return figures


def _round(plan: Plan) -> _Round:
    with market(CONNECTIONS + 1) as where:
        full = where.order(CONNECTIONS, where.listings(), seconds=plan.seconds / 2).outcome.only(CREATED)
        before = _lags(where, plan.seconds, full.per_second / 2)
        burst = plan.scaled(BURST_SECONDS)
        where.order(CONNECTIONS, where.listings(), seconds=burst).outcome.only(CREATED)
        drained_seconds = where.stand.await_read_models()
        after = _lags(where, plan.seconds, full.per_second / 2)
    return _Round(full.per_second, before, after, drained_seconds)


def _lags(where: Market, seconds: float, rate: float) -> _Lags:
    [ticket] = where.listings()
    where.stand.await_read_models()
    [token] = make_tokens(where.stand.database_url, where.buyers[-1:])
    total = SETTLE_SECONDS + seconds
    probing = _Probing(where.stand.url, where.stand.database_url, token, ticket, total)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        probes = pool.submit(_probe, probing)
        outcome = where.order(CONNECTIONS, [ticket], seconds=total, rate=rate - PROBES_PER_SECOND).outcome
        outcome.only(CREATED)
        counts_from, counts_to = outcome.started_at + SETTLE_SECONDS, outcome.started_at + total
        seen, looks_per_second = probes.result()
    counted = [probe for probe in seen if counts_from <= probe.sent_at < counts_to]
    assert counted, "no probe was sent during the load"
    return _Lags(counted, looks_per_second, summary(outcome))


def _probe(probing: _Probing) -> tuple[list[_Probe], float]:
    """Sends probes and watches for them, in a process of its own; what was seen, and how often a second it looked.

    Raises:
        RuntimeError: a probe was refused, or is not visible after `PATIENCE_SECONDS`.
    """
    answered: SimpleQueue[tuple[UUID, _Probe]] = SimpleQueue()
    began = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [pool.submit(_send, probing, began, first, answered) for first in range(SENDERS)]
        with psycopg.connect(probing.database_url, autocommit=True) as connection:
            seen: list[_Probe] = []
            waiting: dict[UUID, _Probe] = {}
            looks = 0
            while waiting or not answered.empty() or not all(sender.done() for sender in senders):
                while not answered.empty():
                    order_id, probe = answered.get()
                    waiting[order_id] = probe
                for (order_id,) in connection.execute(VISIBLE, (list(waiting),), binary=True).fetchall():
                    probe = waiting.pop(order_id)
                    seen.append(_Probe(probe.sent_at, probe.answered_at, time.monotonic()))
                looks += 1
                if time.monotonic() - began > probing.seconds + PATIENCE_SECONDS:
                    raise RuntimeError(f"{len(waiting)} orders are still not visible")
                time.sleep(LOOK_SECONDS)
        for sender in senders:
            sender.result()
    return seen, looks / (time.monotonic() - began)


def _send(probing: _Probing, began: float, first: int, answered: SimpleQueue[tuple[UUID, _Probe]]) -> None:
    """Every `SENDERS`-th probe, each when it is due."""
    address = urlsplit(probing.url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE_SECONDS)
    body = msgspec.json.encode({"items": [{"ticket_id": probing.ticket, "quantity": 1}]})
    headers = {"Authorization": f"Bearer {probing.token}", "Content-Type": "application/json"}
    for number in range(first, int(probing.seconds * PROBES_PER_SECOND), SENDERS):
        time.sleep(max(0.0, began + number / PROBES_PER_SECOND - time.monotonic()))
        sent_at = time.monotonic()
        connection.request("POST", "/api/orders", body, headers)
        answer = connection.getresponse()
        made = answer.read()
        answered_at = time.monotonic()
        if answer.status != CREATED:
            raise RuntimeError(f"a probe was answered {answer.status}: {made.decode(errors='replace')}")
        answered.put((UUID(msgspec.json.decode(made)["id"]), _Probe(sent_at, answered_at)))
    connection.close()

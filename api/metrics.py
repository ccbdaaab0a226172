"""What Prometheus reads under `/metrics`: this process's requests, what waits, how far the read models lag.

With `PROMETHEUS_MULTIPROC_DIR` set, prometheus_client keeps the figures in files, and any process that shares the port
answers for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from api.progress import Lag

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets from a read out of memory to the longest a payment may take."""


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "stagedoor_http_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "stagedoor_http_request_seconds",
            "Time to the answer.",
            ("method", "route"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self.commands_waiting = Gauge(
            "stagedoor_commands_waiting",
            "Commands not yet taken into a batch.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.webhooks = Counter(
            "stagedoor_stripe_webhooks",
            "Webhooks of Stripe by outcome; `mismatch` is money that is not the order's: look at it.",
            ("outcome",),
            registry=self._registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one request. `route` is the pattern, never the path: the figures stay few."""
        key = (method, route, status)
        children = self._children.get(key)
        if children is None:
            children = self._requests.labels(method, route, str(status)), self._seconds.labels(method, route)
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)

    def exposition(self, lags: Sequence[Lag]) -> bytes:
        """The text format. `lags` is empty while the database is away."""
        shared = self._registry
        # The variable is prometheus_client's own, not a setting of ours.
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            shared = CollectorRegistry()
            MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared) + _exposed(lags)


def _exposed(lags: Sequence[Lag]) -> bytes:
    """Lags as text: they are read from the database, the same in every process, and so not part of its own figures."""
    lines = []
    for metric, text, values in (
        ("stagedoor_lag_events", "Events of the log not yet published, or applied.", [lag.events for lag in lags]),
        ("stagedoor_lag_seconds", "Age of the oldest of them.", [lag.seconds for lag in lags]),
    ):
        lines += [f"# HELP {metric} {text}", f"# TYPE {metric} gauge"]
        lines += [f'{metric}{{name="{lag.name}"}} {value}' for lag, value in zip(lags, values, strict=True)]
    return "\n".join([*lines, ""]).encode()

"""What Prometheus reads under `/metrics`: this process's requests, how far the read models lag, what is parked.

With `PROMETHEUS_MULTIPROC_DIR` set, prometheus_client keeps the figures in files, and any process that shares the port
answers for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from api.progress import Standing

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

    def exposition(self, standing: Standing | None) -> bytes:
        """The text format. `standing` is None while the database is away."""
        shared = self._registry
        # The variable is prometheus_client's own, not a setting of ours.
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            shared = CollectorRegistry()
            MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared) + (b"" if standing is None else _exposed(standing))


def _exposed(standing: Standing) -> bytes:
    """As text: it is read from the database, the same in every process, and so not part of its own figures."""
    readers = [(f'name="{reader.name}"', reader) for reader in standing.readers]
    places = [(f'model="{place.model}",partition="{place.partition}"', place) for place in standing.checkpoints]
    lines = [
        *_gauge(
            "lag_events", "Events of the log not yet published, or applied.", ((at, one.events) for at, one in readers)
        ),
        *_gauge("lag_seconds", "Age of the oldest of them.", ((at, one.seconds) for at, one in readers)),
        *_gauge(
            "checkpoint_position",
            "Up to there in the log the read model has applied the partition.",
            ((at, one.position) for at, one in places),
        ),
        *_gauge(
            "checkpoint_age_seconds",
            "Since it was written; an old one is no lag.",
            ((at, one.age_seconds) for at, one in places if one.age_seconds is not None),
        ),
        *_gauge(
            "checkpoint_lag_events",
            "At most so many events of the partition are published and not applied.",
            ((at, one.events) for at, one in places),
        ),
        *_gauge(
            "checkpoint_lag_seconds",
            "The oldest of them is at most so old.",
            ((at, one.seconds) for at, one in places),
        ),
        *_gauge(
            "parked_events",
            "Events kept aside because they could not be applied, or follow one that could not.",
            ((f'model="{model}"', count) for model, count in standing.parked.items()),
        ),
        *_gauge(
            "relay_trouble",
            "1: the relay publishes nothing until somebody has looked.",
            [("", int(standing.relay_trouble is not None))],
        ),
    ]
    return "\n".join([*lines, ""]).encode()


def _gauge(name: str, text: str, samples: Iterable[tuple[str, float]]) -> list[str]:
    """One metric's lines; a sample is its labels and its value."""
    metric = f"stagedoor_{name}"
    lines = [f"# HELP {metric} {text}", f"# TYPE {metric} gauge"]
    return lines + [f"{metric}{{{labels}}} {value}" if labels else f"{metric} {value}" for labels, value in samples]

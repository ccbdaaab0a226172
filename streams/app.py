"""The Faust app: the composition root of the worker. What runs, on what, with which settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import faust
from yarl import URL

from projections.models import MODELS
from streams.batches import batches
from streams.delivery import read_message
from streams.project import Projector
from streams.timer import Timer
from streams.transport import Transport

GROUP = "stagedoor"
"""The consumer group; every worker is a member."""

BATCH = 500
"""Records applied in one transaction, and at most as many again: those of the last bundle are not divided."""

SLICE = 100
"""Records read before others have their turn, two milliseconds of work: on the same loop orders are ended under the
log's lock."""

MAX_BUNDLES = 32
"""Waiting for an agent; then its partitions are not asked for more."""

MAX_FETCH_BYTES = 8 * 1024 * 1024
"""Of one partition at a time. A hot listing is one partition; the default of 1 MiB a turn holds it back."""

METADATA_SECONDS = 2.0
"""Between looks at which topics and partitions there are. A worker that was dealt none, because the topics were away,
asks again when they are back; the default of five minutes is longer than `streams/liveness.py` waits."""

SESSION_TIMEOUT_SECONDS = 10
"""After so long without a heartbeat another worker takes over."""

MAX_POLL_SECONDS = 24 * 3600.0
"""A worker that waits for the database is not a dead one."""


def make_app(bootstrap_servers: str, projectors: dict[str, Projector], timers: list[Timer], datadir: str) -> Any:
    """The app, not started.

    Args:
        projectors: one for each of `MODELS`.
        datadir: an empty folder; Faust insists on one, nothing is kept there.
    """
    app = faust.App(
        GROUP,
        broker=[URL(f"kafka://{server.strip()}") for server in bootstrap_servers.split(",")],
        broker_session_timeout=SESSION_TIMEOUT_SECONDS,
        broker_max_poll_interval=MAX_POLL_SECONDS,
        consumer_max_fetch_size=MAX_FETCH_BYTES,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=int(METADATA_SECONDS * 1000),
        broker_max_poll_records=BATCH,
        stream_buffer_maxsize=MAX_BUNDLES,
        stream_wait_empty=True,  # a rebalance waits for the batch under way
        topic_allow_declare=False,  # the topics are ours (streams/topics.py)
        topic_disable_leader=True,
        web_enabled=False,  # it would listen on every interface
        datadir=datadir,
        autodiscover=False,
    )
    app.transport = Transport(app.conf.broker_consumer, app)
    for model, projection in MODELS.items():
        _add_agent(app, projectors[model], projection.topic)
    for timer in timers:
        app.timer(timer.interval_seconds, name=timer.name)(timer.tick)
    return app


def _add_agent(app: Any, projector: Projector, topic: str) -> None:
    channel = app.topic(topic, key_serializer="raw", value_serializer="raw")

    async def project(stream: Any) -> AsyncIterator[None]:
        async for bundles in batches(stream, BATCH):
            records = [record for bundle in bundles for record in bundle.message.records]
            deliveries = []
            for start in range(0, len(records), SLICE):
                deliveries += [read_message(record, topic) for record in records[start : start + SLICE]]
                await asyncio.sleep(0)
            await projector.handle(deliveries)
            for bundle in bundles:
                await stream.ack(bundle)
            yield  # makes it the kind of function Faust takes for an agent; nobody asks for replies

    app.agent(channel, name=projector.projection.model, concurrency=1)(project)

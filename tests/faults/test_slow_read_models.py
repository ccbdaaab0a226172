"""Fault 14: a read model's table stands still. The worker's memory is bounded, the lag is seen, and it catches up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from uuid import uuid4

import psycopg
import pytest

from adapters.event_codec import EventMapper
from domain.aggregate import Stamp
from domain.ticket import Ticket
from tests.domain.scenes import SELLER, at, listing
from tests.faults.conftest import StartApi
from tests.projections.stories import Story, append, assert_rows_are_the_fold
from tests.streams.conftest import Log
from tests.streams.parts import Part, eventually, is_projected, is_published

EVENTS = 60_000
"""Four times what may wait for an agent: 32 bundles of 500 records (streams/app.py)."""

DESCRIPTION_CHARACTERS = 1_500

MAX_GROWTH_BYTES = 60 * 1024 * 1024
"""Measured: 21 MB. All that waits would be 130 MB of text alone."""


def append_many(database_url: str) -> None:
    """A listing that is edited again and again."""
    ticket = Ticket.offer(uuid4(), SELLER, replace(listing(), description="x" * DESCRIPTION_CHARACTERS), at())
    stamp: Stamp = at(ticket.modified_on + timedelta(seconds=1))
    ticket.edit(replace(ticket.listing, title="Category 3"), SELLER, stamp)
    created, edited = ticket.collect_events()
    append(database_url, [created])
    stored = EventMapper().to_stored_event(edited)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO stored_events SELECT %s, n, %s,"
            " convert_to(replace(%s, '\"originator_version\":2,', '\"originator_version\":' || n || ','), 'UTF8')"
            " FROM generate_series(2, %s) AS n ORDER BY n",
            (stored.originator_id, stored.topic, stored.state.decode(), EVENTS),
        )
        connection.execute("NOTIFY stored_events")


def memory_bytes(part: Part) -> int:
    assert part.process is not None
    pages = int(Path(f"/proc/{part.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.long
async def test_memory_is_bounded_the_lag_is_seen_and_it_catches_up(
    database_url: str, apache: str, part: Callable[[str, str], Part], start_api: StartApi, log: Log
) -> None:
    append(database_url, Story(45).tell(100).events)
    part("relay", apache)
    worker = part("worker", apache)
    api = start_api()
    await eventually(lambda: is_projected(database_url), "everything is applied")
    before, peak = memory_bytes(worker), 0
    with psycopg.connect(database_url) as holding:
        holding.execute("LOCK TABLE ticket_listing IN ACCESS EXCLUSIVE MODE")
        append_many(database_url)
        await eventually(lambda: is_published(database_url), "all of it is on Kafka", 90.0)
        give_up_at = monotonic() + 4.0
        while monotonic() < give_up_at:
            peak = max(peak, memory_bytes(worker))
            await asyncio.sleep(0.1)
        ready = api.call("GET", "/readyz")
    lags = {reader["name"]: reader for reader in ready.body["readers"]}
    assert ready.status == 200, "orders can be taken"
    assert lags["relay"]["lag_events"] == 0
    assert lags["ticket_listing"]["lag_events"] >= EVENTS - 1_000
    assert lags["buyer_orders"]["lag_events"] == 0
    assert peak - before < MAX_GROWTH_BYTES, f"{(peak - before) >> 20} MB more than before"
    await eventually(lambda: is_projected(database_url), "it catches up", 90.0)
    assert_rows_are_the_fold(database_url, await log.read())
    assert worker.stop() == 0

"""Faults 4 and 12: a worker is killed in the middle of a batch, and stopped for longer than Kafka waits for it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from time import monotonic

import psycopg
import pytest

from tests.faults.blocked import end_blocked, is_blocked
from tests.faults.workers import workers_sharing
from tests.projections.stories import Story, append, assert_rows_are_the_fold
from tests.streams.conftest import Log
from tests.streams.parts import Part, eventually, is_projected, rows

StartPart = Callable[[str, str], Part]

CHECKPOINT = "%INSERT INTO checkpoints%"
PAUSE_SECONDS = 15.0
"""Kafka gives a silent worker's partitions to another one after ten (streams/app.py)."""


def tell(database_url: str, story: Story, steps: int) -> None:
    """More of the story, into the store's log."""
    told = len(story.events)
    append(database_url, story.tell(steps).events[told:])


@pytest.mark.long
@pytest.mark.parametrize("is_rolled_back", [True, False])
async def test_killed_in_the_middle_of_a_batch_the_read_models_are_the_fold_of_the_log(
    database_url: str, apache: str, part: StartPart, log: Log, is_rolled_back: bool
) -> None:
    """The batch is rolled back, as if the machine were gone; or the server ends it, and Kafka never hears of it."""
    story = Story(42)
    append(database_url, story.tell(200).events)
    part("relay", apache)
    worker = part("worker", apache)
    await eventually(lambda: is_projected(database_url), "everything is applied")
    with psycopg.connect(database_url) as holding:
        holding.execute("LOCK TABLE checkpoints IN SHARE MODE")  # reading goes on
        tell(database_url, story, 60)
        await eventually(lambda: is_blocked(database_url, CHECKPOINT), "a batch is on its way in")
        worker.kill()
        if is_rolled_back:
            end_blocked(database_url, CHECKPOINT)
    assert not is_projected(database_url) or not is_rolled_back
    tell(database_url, story, 30)
    worker = part("worker-2", apache)
    await eventually(lambda: is_projected(database_url), "the next one goes on", 60.0)
    assert_rows_are_the_fold(database_url, await log.read())
    assert rows(database_url, "SELECT count(*) FROM parked_events") == [(0,)]
    assert worker.stop() == 0


@pytest.mark.long
async def test_a_worker_that_is_stopped_for_fifteen_seconds_loses_no_event(
    database_url: str, apache: str, part: StartPart, log: Log
) -> None:
    story = Story(43)
    append(database_url, story.tell(200).events)
    part("relay", apache)
    workers = [part("worker", apache), part("worker-2", apache)]
    await eventually(lambda: is_projected(database_url), "everything is applied")
    await workers_sharing(apache, 2)

    workers[0].send(signal.SIGSTOP)
    stopped_at = monotonic()
    while monotonic() < stopped_at + PAUSE_SECONDS - 3:
        tell(database_url, story, 20)
        await asyncio.sleep(0.5)
    await eventually(lambda: is_projected(database_url), "the other one has taken over all of it", 10.0)
    await asyncio.sleep(max(0.0, stopped_at + PAUSE_SECONDS - monotonic()))

    workers[0].send(signal.SIGCONT)  # it still holds what it had fetched
    for _ in range(6):
        tell(database_url, story, 20)
        await asyncio.sleep(0.3)
    await workers_sharing(apache, 2)
    tell(database_url, story, 50)
    await eventually(lambda: is_projected(database_url), "both go on", 20.0)
    assert_rows_are_the_fold(database_url, await log.read())
    assert rows(database_url, "SELECT count(*) FROM parked_events") == [(0,)]
    for worker in workers:
        assert worker.stop() == 0

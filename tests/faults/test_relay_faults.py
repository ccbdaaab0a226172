"""Fault 3: the relay is killed when Kafka has the events and its own note of that is not written yet."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.faults.blocked import end_blocked, is_blocked
from tests.projections.stories import Story, append
from tests.streams.conftest import Log
from tests.streams.parts import Part, assert_all_is_on, eventually, is_published

NOTE = "UPDATE relay_state SET position%"


@pytest.mark.long
async def test_killed_between_sending_and_its_note_another_one_goes_on_within_five_seconds(
    database_url: str, apache: str, part: Callable[[str, str], Part], log: Log
) -> None:
    story = Story(41)
    append(database_url, story.tell(200).events)
    leader = part("relay", apache)
    await eventually(lambda: is_published(database_url), "the relay is at the log's end")
    stand_by = part("relay-2", apache)
    await eventually(lambda: stand_by.said("relay started"), "the other one stands by")
    assert leader.said("publishes now")

    with psycopg.connect(database_url) as holding:
        holding.execute("SELECT FROM relay_state FOR UPDATE")
        told = len(story.events)
        append(database_url, story.tell(60).events[told:])
        await eventually(lambda: is_blocked(database_url, NOTE), "all is sent, nothing noted")
        leader.kill()
        end_blocked(database_url, NOTE)
        holding.rollback()
    await eventually(lambda: is_published(database_url), "the stand-by took over", 5.0)
    assert stand_by.said("publishes now")
    repeated = await assert_all_is_on(apache, await log.read(), repeated=True)
    assert repeated >= len(story.events) - told, "what was sent and not noted came again"

"""Fault 13: an event in the log that this version cannot read. Its aggregate stands still, all others go on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from uuid import UUID

import pytest

from tests.api.house import House
from tests.projections.stories import Story, append, assert_rows_are_the_fold
from tests.streams.conftest import Log
from tests.streams.parts import ROOT, Part, eventually, is_projected, rows

StartPart = Callable[[str, str], Part]


def stagedoor(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": database_url}
    command = [sys.executable, "-W", "ignore", "-m", "cli.main", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.long
async def test_an_aggregate_is_parked_and_mended_while_all_others_flow(
    database_url: str, apache: str, part: StartPart, log: Log
) -> None:
    story = Story(44, listings=5)
    append(database_url, story.tell(200).events)
    victim = max(story.orders, key=lambda order: order.version)
    rows(  # a byte that flipped, or a form of the event that a later version stores
        database_url,
        "UPDATE stored_events SET state = 'x'::bytea || state WHERE originator_id = %s AND originator_version = 2",
        victim.id,
    )
    part("relay", apache)
    worker = part("worker", apache)
    parked = "SELECT count(DISTINCT aggregate_id), count(*), min(sequence) FROM parked_events"
    await eventually(lambda: rows(database_url, parked) == [(1, victim.version - 1, 2)], "it is parked")

    told = len(story.events)
    append(database_url, story.tell(200).events[told:])

    def others_flow() -> bool:
        late = {event.originator_id for event in story.events[told:]} - {victim.id}
        shown = rows(
            database_url,
            "SELECT count(*) FROM (SELECT id FROM ticket_listing UNION SELECT id FROM buyer_orders"
            " UNION SELECT id FROM user_status) AS shown WHERE id = ANY(%s)",
            list(late),
        )
        return bool(shown[0][0] == len(late))

    await eventually(others_flow, "what came later is shown")

    rows(
        database_url,
        "UPDATE stored_events SET state = substring(state from 2) WHERE originator_id = %s AND originator_version = 2",
        victim.id,
    )
    replayed = stagedoor(database_url, "replay", "buyer_orders")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert rows(database_url, "SELECT count(*) FROM parked_events") == [(0,)]
    told = len(story.events)
    append(database_url, story.tell(100).events[told:])
    await eventually(lambda: is_projected(database_url), "everything flows again", 20.0)
    assert_rows_are_the_fold(database_url, await log.read())
    assert rows(database_url, "SELECT count(*) FROM parked_events") == [(0,)]
    assert worker.stop() == 0


# The write side, and what machines ask --------------------------------------------------------------------------------


def poison(database_url: str, ticket_id: str) -> None:
    """The listing's next event is of a version to come."""
    rows(
        database_url,
        "INSERT INTO stored_events SELECT originator_id, max(originator_version) + 1, 'stagedoor.Ticket.FromTheFuture',"
        " '{}' FROM stored_events WHERE originator_id = %s GROUP BY originator_id",
        UUID(ticket_id),
    )


async def test_orders_of_other_listings_go_on_beside_one_that_cannot_be_read(house: House, database_url: str) -> None:
    seller, buyer = await house.person(), await house.person()
    bad, good = await house.listing(seller), await house.listing(seller, quantity=100)
    poison(database_url, bad["id"])
    for _ in range(3):
        answers = await asyncio.gather(*(house.order(buyer, one["id"]) for one in (good, bad, good, bad, good)))
        assert [answer.status for answer in answers[::2]] == [201, 201, 201]
        assert {(answer.status, answer.code) for answer in answers[1::2]} == {(503, "unavailable")}


async def test_ready_is_told_while_an_event_that_cannot_be_read_waits(house: House, database_url: str) -> None:
    """The relay has not come to it yet: the next event that nobody has seen is the bad one."""
    ticket = await house.listing(await house.person())
    end = rows(database_url, "SELECT max(notification_id) FROM stored_events")[0][0]
    rows(database_url, "UPDATE relay_state SET position = %s", end)
    poison(database_url, ticket["id"])
    for path in ("//readyz", "//metrics"):
        assert (await house.call("GET", path)).status == 200, path

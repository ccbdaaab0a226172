"""Fault 18: a snapshot is missing or damaged. What it would have saved is read from the events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

from tests.adapters.test_event_store import open_house
from tests.api.house import running_house, settings_of
from tests.streams.parts import rows

DAMAGE = (
    "DELETE FROM stored_snapshots",
    "UPDATE stored_snapshots SET state = substring(state for 200)",
    "UPDATE stored_snapshots SET state = ''",
    "UPDATE stored_snapshots SET state = '{}'",
    "UPDATE stored_snapshots SET state = decode('00ff00ff', 'hex')",
    "UPDATE stored_snapshots SET topic = 'stagedoor.Order'",
    "UPDATE stored_snapshots SET topic = 'stagedoor.FromTheFuture'",
)

OPEN_HOLDS = 1_050


async def test_the_next_process_goes_on_from_the_events(database_url: str, tmp_path: Path) -> None:
    async with open_house(database_url) as filling:
        ticket_id = await filling.listed(quantity=2_000)
        await asyncio.gather(*(filling.order(ticket_id) for _ in range(OPEN_HOLDS)))
    kept = rows(database_url, "SELECT originator_version, topic, state FROM stored_snapshots")
    assert [row[1] for row in kept] == ["stagedoor.Ticket"]
    settings = settings_of(database_url, tmp_path, stripe_api_base="http://127.0.0.1:9")
    for taken, damage in enumerate(DAMAGE, start=1):
        rows(database_url, "DELETE FROM stored_snapshots")
        for row in kept:
            rows(database_url, "INSERT INTO stored_snapshots VALUES (%s, %s, %s, %s)", ticket_id, *row)
        rows(database_url, damage)
        async with running_house(settings) as house:
            buyer = await house.person()
            placed = await house.order(buyer, str(ticket_id))
            assert placed.status == 201, damage
            seen = (await house.call("GET", f"/tickets/{ticket_id}")).body
            assert (seen["held"], seen["version"]) == (OPEN_HOLDS + taken, OPEN_HOLDS + taken + 1), damage
            assert (await house.services.log.history(UUID(str(ticket_id)), limit=1))[0].type == "TicketCreated"

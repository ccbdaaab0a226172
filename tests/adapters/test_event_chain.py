"""The hash chain and the sections of the log, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any

import psycopg
from click.testing import CliRunner, Result
from psycopg import AsyncConnection

from adapters.database import make_pool
from adapters.event_chain import START, link
from adapters.event_log import EventLog
from adapters.log_sections import SECTION, close_sections
from cli.verify import verify
from domain.order import Charge
from projections.models import MODELS
from projections.rebuild import rebuild
from tests.adapters.test_event_store import House, ask, open_house
from tests.domain.scenes import BUYER, INTENT

ALL = "SELECT originator_id, originator_version, topic, state, chain FROM stored_events ORDER BY 1, 2"


def rows(database_url: str, query: str, *parameters: Any) -> list[Any]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def chains_fit(database_url: str) -> int:
    """How many events there are, each of which has the hash of its predecessor and itself."""
    previous: dict[Any, bytes] = {}
    found = rows(database_url, ALL)
    for aggregate_id, version, topic, state, chain in found:
        assert chain == link(previous.get(aggregate_id, START), aggregate_id, version, topic, state), (topic, version)
        previous[aggregate_id] = chain
    return len(found)


async def lived(house: House) -> None:
    """A listing with a paid, a cancelled and an open order."""
    ticket_id = await house.listed(quantity=9)
    paid, cancelled, _open = [await house.order(ticket_id, quantity) for quantity in (1, 2, 3)]
    await house.marketplace.await_payment(paid.id, INTENT, ask())
    await house.marketplace.take_charge(paid.id, Charge(INTENT, "ch_1", paid.total), ask())
    await house.marketplace.cancel_order(cancelled.id, BUYER, ask())


async def test_every_event_is_chained_to_its_predecessor(database_url: str) -> None:
    async with open_house(database_url) as house:
        await lived(house)
    assert chains_fit(database_url) == 13


async def test_a_process_that_knows_nothing_goes_on_with_the_chain(database_url: str) -> None:
    async with open_house(database_url) as house:
        ticket_id = await house.listed(quantity=9)
        order = await house.order(ticket_id)
        house.actors._store.keep_snapshot(await house.ticket(ticket_id))  # no event of the listing is read after this
    async with open_house(database_url) as other:
        await other.marketplace.cancel_order(order.id, BUYER, ask())
    assert chains_fit(database_url) == 5


async def test_two_processes_in_turns_keep_one_chain(database_url: str) -> None:
    async with open_house(database_url) as one, open_house(database_url) as two:
        ticket_id = await one.listed(quantity=9)
        for house in (one, two, two, one, one, two):
            await house.order(ticket_id)
    assert chains_fit(database_url) == 13


async def test_what_another_program_appended_is_told_and_the_chain_begins_anew_behind_it(database_url: str) -> None:
    async with open_house(database_url) as house:
        ticket_id = await house.listed(quantity=9)
    rows(database_url, "UPDATE stored_events SET chain = NULL RETURNING 1")
    async with open_house(database_url) as house:
        await house.order(ticket_id)
    verified = await verified_after_replay(database_url)
    assert verified.exit_code == 1
    assert "carries no hash" in verified.output
    assert "was changed" not in verified.output


async def test_the_migration_chains_what_was_stored_before(database_url: str) -> None:
    async with open_house(database_url) as house:
        await lived(house)
    rows(database_url, "UPDATE stored_events SET chain = NULL RETURNING 1")
    migration = files("adapters.schema").joinpath("0002_log_seals.sql").read_text()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(migration[migration.index("DO $$") :].encode())
    assert chains_fit(database_url) == 13


# Sections ---------------------------------------------------------------------------------------------------------


async def closed(database_url: str) -> int:
    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
        return await close_sections(connection)


async def sectioned(database_url: str) -> None:
    """Two closed sections: the first with what was lived, the second empty."""
    async with open_house(database_url) as house:
        await lived(house)
        assert await closed(database_url) == 0, "nothing is behind the first section yet"
        rows(database_url, "SELECT setval('stored_events_notification_id_seq', %s)", 2 * SECTION)
        await house.listed()
    assert await closed(database_url) == 2
    assert await closed(database_url) == 0


async def run(command: Any, database_url: str) -> Result:
    """The command, which has an event loop of its own, beside this one."""
    return await asyncio.to_thread(CliRunner().invoke, command, [], env={"DATABASE_URL": database_url})


async def verified_after_replay(database_url: str) -> Result:
    async with make_pool(database_url, max_size=3) as pool:
        await rebuild(pool, EventLog(pool), MODELS.values())
    rows(database_url, "UPDATE relay_state SET position = (SELECT max(notification_id) FROM stored_events) RETURNING 1")
    return await run(verify, database_url)


async def test_closed_sections_are_what_was_closed(database_url: str) -> None:
    await sectioned(database_url)
    assert rows(database_url, "SELECT number, last_position, events FROM log_sections ORDER BY 1") == [
        (1, SECTION, 13),
        (2, 2 * SECTION, 0),
    ]
    verified = await verified_after_replay(database_url)
    assert verified.exit_code == 0, verified.output


async def test_an_aggregate_that_was_taken_away_whole_is_missing_in_its_section(database_url: str) -> None:
    await sectioned(database_url)
    open_order = (
        "DELETE FROM stored_events WHERE originator_id = (SELECT originator_id FROM stored_events"
        " WHERE topic LIKE 'stagedoor.Order.%%' GROUP BY 1 HAVING count(*) = 1) RETURNING 1"
    )
    assert len(rows(database_url, open_order)) == 1
    verified = await verified_after_replay(database_url)
    assert verified.exit_code == 1
    assert "section 1 of the log (positions 1 to 10,000) is not what was closed: it had 13 events and has 12" in (
        verified.output
    )
    assert "section 2" not in verified.output


async def test_a_chain_computed_anew_does_not_fit_its_section(database_url: str) -> None:
    await sectioned(database_url)
    [(aggregate_id, state)] = rows(
        database_url,
        "SELECT originator_id, state FROM stored_events"
        " WHERE topic = 'stagedoor.Ticket.Created' AND notification_id < 100",
    )
    forged = state.replace(b'"description":null', b'"description":"on the pitch"')
    assert forged != state
    previous = START
    rows(
        database_url,
        "UPDATE stored_events SET state = %s WHERE originator_id = %s AND originator_version = 1 RETURNING 1",
        forged,
        aggregate_id,
    )
    for version, topic, state in rows(
        database_url,
        "SELECT originator_version, topic, state FROM stored_events WHERE originator_id = %s ORDER BY 1",
        aggregate_id,
    ):
        previous = link(previous, aggregate_id, version, topic, state)
        rows(
            database_url,
            "UPDATE stored_events SET chain = %s WHERE originator_id = %s AND originator_version = %s RETURNING 1",
            previous,
            aggregate_id,
            version,
        )
    verified = await verified_after_replay(database_url)
    assert verified.exit_code == 1
    assert "was changed" not in verified.output, "the chain fits"
    assert "section 1 of the log" in verified.output

"""A made-up past is one that could have been lived: it loads, folds and projects as orders over HTTP would."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from click.testing import CliRunner

from adapters.database import make_pool
from adapters.event_codec import encode_snapshot
from adapters.event_log import EventLog
from adapters.event_store import PostgresEventStore
from bench.history import Past, long_ago, roomy_listing, write
from bench.people import make_accounts
from cli.replay import replay
from cli.verify import verify
from domain.aggregate import Aggregate
from domain.ticket import Ticket


@pytest.fixture
def past(database_url: str) -> Past:
    """Of nobody yet: a seller and ten buyers who have signed up."""
    past = Past(make_accounts(database_url, 11), long_ago(2_000))
    assert write(database_url, past, past.sign_ups()) == 11
    return past


def assert_verified(database_url: str) -> str:
    """Replays and verifies; what `stagedoor verify` said."""
    environment = {"DATABASE_URL": database_url}
    replayed = CliRunner().invoke(replay, env=environment)
    assert replayed.exit_code == 0, replayed.output
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE relay_state SET position = (SELECT max(notification_id) FROM stored_events)")
    verified = CliRunner().invoke(verify, env=environment)
    assert verified.exit_code == 0, verified.output
    return verified.output


def loaded(database_url: str, ticket: Ticket) -> Ticket:
    """The listing as an API process would load it."""

    async def load() -> Aggregate:
        store = PostgresEventStore(database_url)
        try:
            async with store.begin(None) as transaction:
                return (await transaction.load([ticket.id]))[ticket.id]
        finally:
            await store.close()

    found = asyncio.run(load())
    assert isinstance(found, Ticket)
    return found


def statuses(database_url: str) -> dict[str, int]:
    with psycopg.connect(database_url) as connection:
        return dict(connection.execute("SELECT status, count(*) FROM buyer_orders GROUP BY status").fetchall())


def test_a_mixed_past_is_what_the_log_says(database_url: str, past: Past) -> None:
    assert write(database_url, past, past.mixed(6_000)) >= 6_000
    assert "10 tickets" in assert_verified(database_url)
    assert set(statuses(database_url)) == {"created", "completed", "cancelled", "expired"}


def test_a_listing_loads_from_the_newest_snapshot_as_from_its_events(database_url: str, past: Past) -> None:
    ticket = past.listed(roomy_listing())
    write(database_url, past, past.cancelled_orders(ticket, 1_200))
    assert "2 snapshots" in assert_verified(database_url)
    assert statuses(database_url) == {"cancelled": 1_200}
    found = loaded(database_url, ticket)
    assert found.snapshot_version == ticket.snapshot_version > 0
    assert encode_snapshot(found) == encode_snapshot(ticket)

    async def folded() -> Ticket | None:
        async with make_pool(database_url, max_size=1) as pool:
            return await EventLog(pool).aggregate(Ticket, ticket.id)

    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM stored_snapshots")
    from_events = asyncio.run(folded())
    assert from_events is not None
    assert encode_snapshot(from_events) == encode_snapshot(ticket)


def test_open_orders_fall_due_at_one_moment(database_url: str, past: Past) -> None:
    due_at = datetime.now(UTC) + timedelta(hours=1)
    ticket = past.listed(roomy_listing())
    write(database_url, past, past.open_orders(ticket, 1_500, due_at))
    assert_verified(database_url)
    found = loaded(database_url, ticket)
    assert {hold.expires_at for hold in found.holds.values()} == {due_at}
    assert (found.held, len(found.holds)) == (1_500, 1_500)


def test_the_newest_snapshot_is_as_old_as_is_asked_for(database_url: str, past: Past) -> None:
    ticket = past.listed(roomy_listing())
    write(database_url, past, past.cancelled_orders(ticket, 600, snapshot_age=900))
    found = loaded(database_url, ticket)
    assert 900 <= found.version - found.snapshot_version < found.snapshot_interval()
    assert encode_snapshot(found) == encode_snapshot(ticket)

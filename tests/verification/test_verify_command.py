"""`stagedoor verify` and `replay`: nothing wrong is nothing found, and everything wrong is."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from cli.replay import replay
from cli.verify import verify
from domain.order import Charge
from tests.adapters.test_event_store import ask, open_house
from tests.domain.scenes import BUYER, INTENT


def run(command: Any, database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, env={"DATABASE_URL": database_url})


@pytest.fixture
async def filled(database_url: str) -> str:
    """A listing with a paid, a cancelled and an open order, projected, with a snapshot of the listing."""
    async with open_house(database_url) as house:
        ticket_id = await house.listed(quantity=9)
        paid, cancelled, _open = [await house.order(ticket_id, quantity) for quantity in (1, 2, 3)]
        await house.marketplace.await_payment(paid.id, INTENT, ask())
        await house.marketplace.take_charge(paid.id, Charge(INTENT, "ch_1", paid.total), ask())
        await house.marketplace.cancel_order(cancelled.id, BUYER, ask())
        house.actors._store.keep_snapshot(await house.ticket(ticket_id))
    return database_url


def projected(database_url: str) -> str:
    assert run(replay, database_url).exit_code == 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE relay_state SET position = (SELECT max(notification_id) FROM stored_events)")
    return database_url


def test_nothing_wrong_is_nothing_found(filled: str) -> None:
    verified = run(verify, projected(filled))
    assert verified.exit_code == 0, verified.output
    assert "1 tickets" in verified.output
    assert "1 snapshots compared" in verified.output


TAMPERED = {
    "buyer_orders": "UPDATE buyer_orders SET status = 'completed' WHERE status = 'cancelled'",
    "sold is": "UPDATE ticket_listing SET sold = sold + 1",
    "event 1 is missing": "DELETE FROM buyer_orders WHERE status = 'created'",
    "not in the log": "INSERT INTO user_status VALUES (gen_random_uuid(), 1, false, false, now(), now(), false)",
    "was changed": "UPDATE stored_events SET state = convert_to(regexp_replace(convert_from(state, 'UTF8'),"
    " '\"command_id\":\"[0-9a-f]{8}', '\"command_id\":\"00000000'), 'UTF8') WHERE topic = 'stagedoor.Order.Cancelled'",
    "/2 was removed": "DELETE FROM stored_events WHERE topic = 'stagedoor.Order.AwaitingPayment'",
    "carries no hash": "UPDATE stored_events SET chain = NULL WHERE topic = 'stagedoor.Ticket.Released'",
    "cannot be applied": "DELETE FROM stored_events WHERE topic = 'stagedoor.Ticket.Sold'",
    "carries": "UPDATE stored_events SET state = convert_to(replace(convert_from(state, 'UTF8'), '\"sold\":1',"
    " '\"sold\":2'), 'UTF8') WHERE topic = 'stagedoor.Ticket.Sold'",
    "another id": "UPDATE stored_events SET state = convert_to(replace(convert_from(state, 'UTF8'),"
    " originator_id::text, gen_random_uuid()::text), 'UTF8') WHERE topic = 'stagedoor.Order.Cancelled'",
    "completed orders hold": "DELETE FROM stored_events WHERE topic = 'stagedoor.Order.Completed'",
    "is not what the fold says": "UPDATE stored_snapshots SET state = convert_to(replace(convert_from(state, 'UTF8'),"
    " '\"withdrawn\":false', '\"withdrawn\":true'), 'UTF8')",
    "parked": "INSERT INTO parked_events (model, topic, raw, error) VALUES ('m', 't', '', 'e')",
    "the log ends": "UPDATE relay_state SET position = position + 1000",
    "publishes nothing": "UPDATE relay_state SET trouble = 'said so'",
    "but no event": "INSERT INTO accounts (user_id, email_hash, email, name, password_hash)"
    " VALUES (gen_random_uuid(), '', '', '', 'h')",
}


@pytest.mark.parametrize("said", TAMPERED)
def test_everything_wrong_is_found(filled: str, said: str) -> None:
    projected(filled)
    with psycopg.connect(filled, autocommit=True) as connection:
        assert connection.execute(TAMPERED[said].encode()).rowcount > 0
    verified = run(verify, filled)
    assert verified.exit_code == 1, verified.output
    assert said in verified.output


def test_what_is_not_projected_yet_is_said_and_no_difference(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.verify.CATCH_UP_SECONDS", 0.5)
    verified = run(verify, filled)
    assert verified.exit_code == 0, verified.output
    assert "buyer_orders is behind in 3 rows" in verified.output


def test_replay_mends_a_read_model(filled: str) -> None:
    projected(filled)
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute("DELETE FROM buyer_orders")
    assert run(verify, filled).exit_code == 1
    replayed = run(replay, filled, "buyer_orders")
    assert "buyer_orders made again" in replayed.output
    assert run(verify, filled).exit_code == 0


def test_what_explains_the_differences_is_said_first(filled: str) -> None:
    projected(filled)
    with psycopg.connect(filled, autocommit=True) as connection:
        connection.execute("INSERT INTO parked_events (model, topic, raw, error) VALUES ('m', 't', '', 'e')")
        connection.execute("UPDATE relay_state SET trouble = 'said so'")
        connection.execute(
            "INSERT INTO user_status SELECT gen_random_uuid(), 1, false, false, now(), now(), false"
            " FROM generate_series(1, 60)"
        )
    lines = run(verify, filled).stdout.splitlines()
    first = next(at for at, line in enumerate(lines) if "rows and" in line) + 1
    assert "1 events are parked" in lines[first]
    assert "the relay publishes nothing: said so" in lines[first + 1]
    assert lines[-1] == "62 differences, 12 of them not shown"

"""Fault 11: clocks that are five minutes off, and jump. Decisions go by the database's clock alone."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from time import monotonic, time
from uuid import UUID

import jwt
import pytest

from tests.api.house import House, Person, running_house, settings_of
from tests.e2e.up import Answer
from tests.faults.client import Client, stored
from tests.faults.conftest import StartApi
from tests.faults.servers import WrongClock, own_postgres
from tests.faults.workers import workers_sharing
from tests.streams.parts import Part, eventually, is_projected, rows

HOLD_SECONDS = 20
UNITS = 6


def order_at_all(clients: list[Client], ticket_id: str, times: int) -> list[Answer]:
    """Orders of one unit through each of the processes, all at once, each by an account of that process.

    An access token is as good as the clock of the process that made it: so each process makes its own.
    """
    tokens = [client.sign_up() for client in clients]
    with ThreadPoolExecutor(len(clients) * times) as pool:
        asked = [
            pool.submit(client.order, token, ticket_id)
            for client, token in zip(clients, tokens, strict=True)
            for _ in range(times)
        ]
        return [one.result() for one in asked]


def codes(answers: list[Answer]) -> set[tuple[int, str]]:
    return {(answer.status, answer.body.get("code", "")) for answer in answers}


@pytest.mark.long
async def test_processes_with_wrong_clocks_sell_nothing_twice_and_end_no_hold_early(
    database_url: str,
    tmp_path: Path,
    start_api: StartApi,
    apache: str,
    started: list[Part],
) -> None:
    fast, slow = WrongClock(tmp_path / "fast", +300), WrongClock(tmp_path / "slow", -300)
    servers = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": apache,
        "STRIPE_SECRET_KEY": "sk_test_unused",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
    }
    for name, clock in (("relay", slow), ("worker", fast), ("worker-2", slow)):
        started.append(Part(name, tmp_path, **servers, **clock.environment).start())
    clients = [start_api(), start_api(**fast.environment), start_api(**slow.environment)]
    assert_clock_is_off(clients)
    await workers_sharing(apache, 2)

    seller = clients[0].sign_up()
    ticket_id = clients[0].list_ticket(seller, quantity=UNITS, hold_seconds=HOLD_SECONDS)
    ordered_at, ordered_time = monotonic(), time()
    answers = order_at_all(clients, ticket_id, UNITS)
    placed = [answer for answer in answers if answer.status == 201]
    assert len(placed) == UNITS
    assert codes([answer for answer in answers if answer.status != 201]) == {(409, "sold_out")}
    for answer in placed:
        deadline = datetime.fromisoformat(answer.body["expires_at"]).timestamp()
        assert HOLD_SECONDS - 1 < deadline - ordered_time < HOLD_SECONDS + 5

    await eventually(lambda: is_projected(database_url), "the workers know of all holds", 15.0)
    assert codes(order_at_all(clients, ticket_id, 1)) == {(409, "sold_out")}
    fast.jump(-300)
    slow.jump(+300)
    assert codes(order_at_all(clients, ticket_id, 1)) == {(409, "sold_out")}
    assert monotonic() < ordered_at + HOLD_SECONDS, "all of this was before the deadline"
    assert stored(database_url, "stagedoor.Order.Expired") == []

    ended_all = HOLD_SECONDS + 12.0
    await eventually(
        lambda: len(stored(database_url, "stagedoor.Order.Expired")) == UNITS, "the workers end them", ended_all
    )
    [(ended,)] = rows(
        database_url,
        "SELECT min((convert_from(state, 'UTF8')::json->>'timestamp')::timestamptz) FROM stored_events"
        " WHERE topic = 'stagedoor.Order.Expired'",
    )
    assert ended.timestamp() >= ordered_time + HOLD_SECONDS
    assert codes(order_at_all(clients, ticket_id, 1)) == {(201, "")}
    assert len(stored(database_url, "stagedoor.Order.Expired")) == UNITS, "each once, by two workers"


def assert_clock_is_off(clients: list[Client]) -> None:
    """Or the test would try nothing: an access token says when its process made it (`tests/faults/servers.py`)."""
    made = [jwt.decode(client.sign_up(), options={"verify_signature": False})["iat"] - time() for client in clients]
    for off, expected in zip(made, (0, 300, -300), strict=True):
        assert abs(off - expected) < 5


@pytest.mark.long
async def test_the_databases_own_clock_jumps_and_nothing_is_sold_twice(tmp_path: Path, sandbox_url: str) -> None:
    """Forward, holds end early, since this is the clock that deadlines are measured by; back, they do not come back."""
    clock = WrongClock(tmp_path / "clock", 0)
    with own_postgres(tmp_path / "data", clock.environment) as postgres:
        settings = settings_of(postgres.url, tmp_path, stripe_api_base=sandbox_url)
        async with running_house(settings) as house:
            await _jump_to_and_fro(house, clock, postgres.url)


async def _jump_to_and_fro(house: House, clock: WrongClock, database_url: str) -> None:
    seller, first, second = await house.person(), await house.person(), await house.person()
    ticket = await house.listing(seller, quantity=UNITS, hold_seconds=60)

    async def order(buyer: Person, count: int) -> list[str]:
        answers = await asyncio.gather(*(house.order(buyer, ticket["id"]) for _ in range(count)))
        assert {answer.status for answer in answers} <= {201, 409}
        return [answer.body["id"] for answer in answers if answer.status == 201]

    early = await order(first, UNITS + 2)
    assert len(early) == UNITS
    clock.jump(+300)
    late = await order(second, UNITS // 2)
    assert len(late) == UNITS // 2
    clock.jump(-300)
    assert await order(second, UNITS) != []  # the early holds were seen to end; the rest of their units is free
    paid = await asyncio.gather(*(house.pay(first, order_id) for order_id in early))
    paid += await asyncio.gather(*(house.pay(second, order_id) for order_id in late))
    assert {answer.status for answer in paid} <= {201, 409}
    clock.jump(0)

    seen = (await house.call("GET", f"/tickets/{ticket['id']}")).body
    assert (seen["available"] + seen["held"] + seen["sold"], seen["available"] >= 0) == (UNITS, True)
    assert seen["sold"] == len(stored(database_url, "stagedoor.Order.Completed")) <= UNITS
    events = await house.services.log.history(UUID(ticket["id"]), limit=1_000)
    times = [event.time for event in events]
    assert times == sorted(times), "the times of one listing never run backwards"

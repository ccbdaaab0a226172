"""Fault 16: ten thousand buyers at once for a hundred tickets, through two API processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from time import monotonic
from uuid import UUID

import aiohttp
import pytest

from bench.people import make_accounts, make_tokens
from tests.faults.client import stored
from tests.faults.conftest import StartApi

BUYERS, TICKETS = 10_000, 100
CONNECTIONS = 500
P99_SECONDS = 10.0
"""What a command is tried for: whoever could not be served by then has been told so."""


@pytest.mark.long
async def test_exactly_a_hundred_are_sold_and_everybody_is_answered(
    database_url: str, start_api: StartApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGEDOOR_DATA_DIR", str(tmp_path))  # as that of the processes: the house key is in it
    clients = [start_api(), start_api()]
    ticket_id = clients[0].list_ticket(clients[0].sign_up("seller"), quantity=TICKETS)
    tokens = await asyncio.to_thread(make_tokens, database_url, make_accounts(database_url, BUYERS))
    statuses: Counter[tuple[int, str]] = Counter()
    sold: set[UUID] = set()
    waits: list[float] = []

    at_once = asyncio.Semaphore(CONNECTIONS)

    async def buy(session: aiohttp.ClientSession, url: str, token: str) -> None:
        body = {"items": [{"ticket_id": ticket_id, "quantity": 1}]}
        headers = {"Authorization": f"Bearer {token}"}
        async with at_once:
            began = monotonic()
            async with session.post(f"{url}/api/orders", json=body, headers=headers) as answer:
                told = await answer.json(content_type=None)
            waits.append(monotonic() - began)
            statuses[answer.status, told.get("code", "")] += 1
            assert answer.status != 503 or int(answer.headers["Retry-After"]) > 0
            if answer.status == 201:
                sold.add(UUID(told["id"]))

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for number, token in enumerate(tokens):
            group.create_task(buy(session, clients[number % 2].url, token))
    assert len(waits) == BUYERS
    assert sorted(waits)[BUYERS * 99 // 100] < P99_SECONDS
    assert statuses.keys() <= {(201, ""), (409, "sold_out"), (503, "busy")}
    assert len(sold) == statuses[201, ""] == TICKETS
    assert set(stored(database_url, "stagedoor.Order.Created")) == sold

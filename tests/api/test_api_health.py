"""What machines ask: alive, ready, metrics, documents."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg.types.json import Jsonb

from api.docs import ASSETS
from tests.api.conftest import OpenHouse
from tests.api.house import House


async def test_alive_without_asking_the_database(house: House) -> None:
    await house.services.pool.close()
    answer = await house.call("GET", "//healthz")
    assert (answer.status, answer.body) == (200, {"status": "ok"})


async def test_ready_tells_how_far_everything_is(house: House) -> None:
    ticket = await house.listing(await house.person())
    before = await house.call("GET", "//readyz")
    assert before.status == 200
    readers = {reader["name"]: reader for reader in before.body["readers"]}
    assert {"relay", "ticket_listing", "buyer_orders"} <= set(readers)
    assert before.body["log_end"] > 0
    assert readers["relay"]["lag_events"] > 0
    assert readers["relay"]["lag_seconds"] >= 0.0
    events = await house.services.log.after(0, limit=100)
    assert before.body["log_end"] == events[-1].position
    assert str(events[-1].subject) == ticket["id"]


async def test_ready_tells_what_is_parked_and_why_nothing_is_published(house: House, database_url: str) -> None:
    """Neither is a reason to take no orders."""
    before = (await house.call("GET", "//readyz")).body
    assert before["relay_trouble"] is None
    assert {reader["parked_events"] for reader in before["readers"]} == {0}
    wrong(database_url)
    answer = await house.call("GET", "//readyz")
    assert answer.status == 200
    assert answer.body["relay_trouble"] == "said so"
    parked = {reader["name"]: reader["parked_events"] for reader in answer.body["readers"]}
    assert parked == {"relay": 0, "ticket_listing": 0, "buyer_orders": 2, "user_status": 0}


async def test_an_event_that_cannot_be_read_is_no_reason_to_take_no_orders(house: House, database_url: str) -> None:
    await house.listing(await house.person())
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE stored_events SET topic = 'stagedoor.Ticket.FromTheFuture'")
    answer = await house.call("GET", "//readyz")
    assert answer.status == 200
    assert {reader["lag_events"] > 0 for reader in answer.body["readers"]} == {True}
    assert ("stagedoor_lag_events", (("name", "relay"),)) in await samples(house)


async def test_not_ready_while_the_database_is_away(house: House) -> None:
    await house.services.pool.close()
    answer = await house.call("GET", "//readyz")
    assert (answer.status, answer.code) == (503, "unavailable")


async def test_not_ready_while_migrations_are_pending(house: House, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM migrations WHERE name LIKE '%0001%'")
        answer = await house.call("GET", "//readyz")
        assert (answer.status, answer.code) == (503, "unavailable")
        assert "pending" in answer.body["detail"]
        connection.execute("DROP TABLE migrations")
    answer = await house.call("GET", "//readyz")
    assert (answer.status, answer.code) == (503, "unavailable")


def wrong(database_url: str) -> None:
    """The relay is in trouble, and two events of orders are parked."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE relay_state SET trouble = 'said so'")
        connection.execute(
            "INSERT INTO parked_events (model, topic, partition, kafka_offset, raw, error)"
            " SELECT 'buyer_orders', 'stagedoor.orders', 0, o, '', 'e' FROM unnest(ARRAY[1, 2]) AS o"
        )


async def samples(house: House) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = await house.call("GET", "//metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.raw.decode())
        for sample in family.samples
    }


async def test_metrics_count_requests_by_route_and_status(house: House) -> None:
    ticket = await house.listing(await house.person())
    for _ in range(3):
        await house.call("GET", f"/tickets/{ticket['id']}")
    await house.call("GET", "/tickets/x")
    await house.call("PROPFIND", "/nothing/of/the/kind")
    seen = await samples(house)
    route = (("method", "GET"), ("route", "/api/tickets/{ticket_id}"))
    assert seen["stagedoor_http_requests_total", (*route, ("status", "200"))] == 3
    assert seen["stagedoor_http_requests_total", (*route, ("status", "404"))] == 1
    assert seen["stagedoor_http_request_seconds_count", route] == 4
    unmatched = (("method", "any"), ("route", "unmatched"), ("status", "404"))
    assert seen["stagedoor_http_requests_total", unmatched] == 1
    assert seen["stagedoor_commands_waiting", ()] == 0
    assert seen["stagedoor_lag_events", (("name", "relay"),)] > 0


async def test_metrics_are_there_while_the_database_is_away(house: House) -> None:
    await house.services.pool.close()
    seen = await samples(house)
    assert ("stagedoor_commands_waiting", ()) in seen
    assert not {name.split("_")[1] for name, _ in seen} & {"lag", "checkpoint", "parked", "relay"}


async def test_metrics_tell_how_far_each_checkpoint_is(house: House, database_url: str) -> None:
    """Partition 0 is behind, 1 is not although its checkpoint is old, 2 was never written, 3 has had no event."""
    await house.listing(await house.person())
    events = await house.services.log.after(0, limit=100)
    end = events[-1].position
    lasts = [end + 7, end, end, 0]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE relay_state SET position = %s, partitions = %s",
            (end, Jsonb({"stagedoor.tickets": [(last + 1, last) for last in lasts]})),
        )
        connection.execute(
            "INSERT INTO checkpoints (model, topic, partition, position, updated_at) VALUES"
            " ('ticket_listing', 'stagedoor.tickets', 0, 1, now()),"
            " ('ticket_listing', 'stagedoor.tickets', 1, %s, now() - interval '1 hour')",
            (end,),
        )
        connection.execute(
            "UPDATE stored_events SET state = convert_to(regexp_replace(convert_from(state, 'UTF8'), "
            '\'"timestamp":"[^"]*"\', \'"timestamp":"2026-01-01T00:00:00Z"\'), \'UTF8\')'
        )
    seen = await samples(house)

    def places(name: str) -> dict[str, float]:
        return {
            dict(labels)["partition"]: value
            for (metric, labels), value in seen.items()
            if metric == f"stagedoor_checkpoint_{name}" and ("model", "ticket_listing") in labels
        }

    assert places("position") == {"0": 1, "1": end, "2": 0}
    assert places("lag_events") == {"0": end + 6, "1": 0, "2": end}
    ages = places("age_seconds")
    assert set(ages) == {"0", "1"}
    assert ages["0"] < 60
    assert 3600 <= ages["1"] < 3700
    lags = places("lag_seconds")
    assert lags["1"] == 0
    assert min(lags["0"], lags["2"]) > 3600


async def test_metrics_tell_what_is_parked_and_that_the_relay_is_in_trouble(house: House, database_url: str) -> None:
    assert (await samples(house))["stagedoor_relay_trouble", ()] == 0
    wrong(database_url)
    seen = await samples(house)
    assert seen["stagedoor_relay_trouble", ()] == 1
    assert seen["stagedoor_parked_events", (("model", "buyer_orders"),)] == 2
    assert seen["stagedoor_parked_events", (("model", "ticket_listing"),)] == 0


async def test_metrics_of_several_processes_are_added_up(
    open_house: OpenHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PROMETHEUS_MULTIPROC_DIR: figures are files, and each process answers for all of them."""
    script = """
import asyncio, sys
from api.metrics import Metrics
one = Metrics()
one.answered("GET", "/x", 200, 0.001)
one.answered("GET", "/x", 200, 0.001)
print(one.exposition(None).decode())
"""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    text = ""
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, env=environment, stdout=asyncio.subprocess.PIPE
        )
        text = (await process.communicate())[0].decode()
    assert 'stagedoor_http_requests_total{method="GET",route="/x",status="200"} 4.0' in text


async def test_the_docs_need_no_other_server(house: House) -> None:
    page = await house.call("GET", "//docs")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    linked = re.findall(rb'(?:src|href)="(/[^"]*)"', page.raw)
    assert len(linked) >= 4
    for path in linked:
        assert (await house.call("GET", f"/{path.decode()}")).status == 200
    for name, media in ASSETS.items():
        answer = await house.call("GET", f"//docs/{name}")
        assert (answer.headers["Content-Type"], answer.headers["X-Content-Type-Options"]) == (media, "nosniff")
    for name in ("README.md", "__init__.py", "index.html", "..%2froutes.py"):
        assert (await house.call("GET", f"//docs/{name}")).code == "not_found"


def test_the_vendored_files_are_the_ones_that_were_taken() -> None:
    folder = files("api.docs_assets")
    lines = [line.split() for line in folder.joinpath("SHA256SUMS.txt").read_text().splitlines()]
    listed = {name: expected for expected, name in lines}
    assert {"swagger-ui-bundle.js", "swagger-ui.css", "LICENSE.txt"} <= set(listed)
    for name, expected in listed.items():
        assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == expected, name

"""Faults 5, 6 and 7: the broker killed, its topics wiped, PostgreSQL stopped at once, under a whole `stagedoor up`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

import pytest

from projections.models import MODELS
from tests.e2e.up import Up, eventually
from tests.faults.client import Client, Shoppers, assert_kept, shopping
from tests.projections.stories import stored_rows
from tests.streams.conftest import Log
from tests.streams.parts import assert_all_is_on, is_projected, is_published, rows, wipe

pytestmark = pytest.mark.long


def database_of(up: Up) -> str:
    found: str = json.loads((up.data_dir / "running.json").read_text())["database_url"]
    return found


def more(shoppers: Shoppers, count: int = 8) -> None:
    """Waits until so many more orders are paid."""
    before = len(shoppers.paid)
    eventually(lambda: len(shoppers.paid), lambda paid: paid >= before + count, 30)


def assert_all_is_well(up: Up, shoppers: Shoppers) -> None:
    """Nothing answered is lost, and relay and read models are at the log's end by themselves."""
    database_url = database_of(up)
    assert_kept(shoppers, database_url)
    eventually(lambda: is_published(database_url) and is_projected(database_url), bool, 45)
    verified = up.command("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr

    async def compare() -> int:
        return await assert_all_is_on(up.bootstrap_servers(), await Log(database_url).read(), repeated=True)

    asyncio.run(compare())


def pid_of(up: Up, name: str) -> int:
    return up.parts().get(name, 0)


def test_a_broker_that_is_killed_comes_back_and_all_catch_up(up: Up) -> None:
    with shopping(Client(up.url)) as shoppers:
        more(shoppers)
        for _ in range(2):
            killed = pid_of(up, "broker")
            os.kill(killed, signal.SIGKILL)
            more(shoppers)
            eventually(lambda: pid_of(up, "broker") not in (0, killed), bool, 30)  # noqa: B023
    assert (set(shoppers.statuses), shoppers.unanswered) == ({201}, 0), "taking an order needs PostgreSQL alone"
    assert_all_is_well(up, shoppers)


def test_wiped_topics_are_published_again_and_read_models_do_not_change(up: Up) -> None:
    database_url = database_of(up)
    with shopping(Client(up.url)) as shoppers:
        more(shoppers)
    eventually(lambda: is_projected(database_url), bool, 30)
    before = shown(database_url)
    worker = pid_of(up, "worker")
    wipe(up.bootstrap_servers())
    relay_log = up.data_dir / "logs" / "relay.log"
    eventually(lambda: "publishing again from the store" in relay_log.read_text(), bool, 20)
    eventually(lambda: is_published(database_url), bool, 20)
    assert shown(database_url) == before
    with shopping(Client(up.url)) as later:
        more(later)
    eventually(lambda: is_projected(database_url), bool, 45)
    assert pid_of(up, "worker") == worker, "it got its partitions again without a restart"
    assert_all_is_well(up, later)
    after = shown(database_url)
    assert {key: after[key] for key in before if key[1] != later.ticket_id} == before


def shown(database_url: str) -> dict[tuple[str, str], Any]:
    return {
        (model, str(row_id)): row
        for model, projection in MODELS.items()
        for row_id, row in stored_rows(database_url, projection).items()
    }


def test_postgres_that_is_stopped_at_once_under_load_loses_nothing_that_was_answered(up: Up) -> None:
    database_url = database_of(up)
    with shopping(Client(up.url)) as shoppers:
        more(shoppers)
        for _ in range(2):
            stopped = pid_of(up, "postgres")
            os.kill(stopped, signal.SIGQUIT)  # as `pg_ctl stop -m immediate`; the supervisor starts it again
            eventually(lambda: pid_of(up, "postgres") not in (0, stopped), bool, 30)  # noqa: B023
            more(shoppers)
        # A backend that dies takes all others with it, and the server recovers without ending.
        others = " FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        backends = eventually(lambda: rows(database_url, "SELECT pid" + others), bool)
        os.kill(backends[0][0], signal.SIGKILL)
        more(shoppers)
        rows(database_url, "SELECT pg_terminate_backend(pid)" + others)
        more(shoppers)
    assert_all_is_well(up, shoppers)

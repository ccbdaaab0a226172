"""`stagedoor status`: it says where everything stands, and whether that is well."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result

from adapters.database import migrate
from adapters.settings import Settings
from cli import main, running
from cli import status as module
from cli.embedded.folder import lock_folder, open_folder
from cli.running import Running
from cli.status import status
from tests.operations.conftest import Market

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `stagedoor up` runs, and what stands still is known at once."""
    monkeypatch.setenv("STAGEDOOR_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(module, "STANDING_SECONDS", 0.001)
    monkeypatch.setattr(module, "SECOND_LOOK_SECONDS", 0.3)


def last_line(result: Result) -> str:
    return result.output.strip().split("\n")[-1]


def test_all_is_well_when_everything_is_published_and_applied(caught_up: Market, run: Run) -> None:
    result = run(status)
    assert (result.exit_code, last_line(result)) == (0, "All is well."), result.output
    assert f"ends at position {caught_up.end():,}" in result.output
    assert "3 orders hold tickets, 0 of them past their deadline" in result.output
    for model in ("relay", "ticket_listing", "buyer_orders", "user_status"):
        assert model in result.output


def test_as_json_it_has_every_checkpoint(caught_up: Market, run: Run) -> None:
    found = msgspec.json.decode(run(status, "--json").stdout)
    places = {(one["model"], one["partition"]): one["position"] for one in found["standing"]["checkpoints"]}
    assert places == {(m, p): at for m, p, at in caught_up.sql("SELECT model, partition, position FROM checkpoints")}
    assert {one["events"] for one in found["standing"]["checkpoints"]} == {0}
    assert found["holds"] == {"open": 3, "past_deadline": 0}
    assert (found["parts"], found["wrong"]) == (None, [])


def test_holds_past_their_deadline_are_counted(caught_up: Market, run: Run) -> None:
    caught_up.sql("UPDATE buyer_orders SET expires_at = now() - interval '1 s' WHERE id = %s", caught_up.orders[0])
    assert "3 orders hold tickets, 1 of them past their deadline" in run(status).output


WRONG = {
    "the relay publishes nothing: said so": "UPDATE relay_state SET trouble = 'said so'",
    "1 events are parked": "INSERT INTO parked_events (model, topic, raw, error) VALUES ('buyer_orders', 't', '', 'e')",
    "the relay stands still": "UPDATE relay_state SET position = 1",
    "ticket_listing stands still": "UPDATE checkpoints SET position = 0, updated_at = now() - interval '1 hour'"
    " WHERE model = 'ticket_listing'",
    "buyer_orders stands still": "DELETE FROM checkpoints WHERE model = 'buyer_orders'",
}


@pytest.mark.parametrize("said", WRONG)
def test_what_is_wrong_is_said_in_the_last_line(caught_up: Market, run: Run, said: str) -> None:
    caught_up.sql(WRONG[said])
    result = run(status)
    assert result.exit_code == 1, result.output
    assert last_line(result).startswith("Wrong: ")
    assert said in last_line(result)
    assert "; " not in last_line(result), "nothing else is"
    assert said in msgspec.json.decode(run(status, "--json").stdout)["wrong"][0]


@pytest.fixture
def moving(caught_up: Market) -> Iterator[None]:
    """A worker behind in every partition, at work: its checkpoints go on, an event every fifth of a second."""
    stop = threading.Event()

    def move() -> None:
        while not stop.wait(0.2):
            caught_up.sql("UPDATE checkpoints SET position = LEAST(position + 1, %s)", caught_up.end())

    caught_up.sql("UPDATE checkpoints SET position = 0, updated_at = now() - interval '1 hour'")
    thread = threading.Thread(target=move)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_what_is_late_and_moves_is_well(moving: None, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECOND_LOOK_SECONDS", 2.0)
    result = run(status)
    assert (result.exit_code, last_line(result)) == (0, "All is well."), result.output
    assert "60 min ago" in result.output


class Parts(dict[str, int]):
    """Process ids by part, kept in `running.json`."""

    def __init__(self, data_dir: Path, database_url: str) -> None:
        super().__init__()
        self._data_dir, self.database_url = data_dir, database_url

    def write(self) -> None:
        found = Running(
            pid=os.getpid(),
            url="http://127.0.0.1:1",
            database_url=self.database_url,
            kafka_bootstrap_servers="127.0.0.1:2",
            stripe_secret_key="sk_test",
            stripe_webhook_secret="whsec",
            stripe_api_base=None,
            parts=dict(self),
        )
        running.write(self._data_dir, found)


@pytest.fixture
def up(database_url: str, tmp_path: Path) -> Iterator[Parts]:
    """What a `stagedoor up` in this process would have written; its parts can be changed."""
    settings = Settings.from_environment({"STAGEDOOR_DATA_DIR": str(tmp_path)})
    open_folder(settings.data_dir)
    parts = Parts(settings.data_dir, database_url)
    parts.update(dict.fromkeys(("relay", "worker", "api-0", "api-1"), os.getpid()))
    with lock_folder(settings.data_dir):
        yield parts


def test_every_part_of_a_running_up_is_looked_at(caught_up: Market, run: Run, up: Parts) -> None:
    up.write()
    result = run(status, DATABASE_URL="")
    assert (result.exit_code, last_line(result)) == (0, "All is well."), result.output
    assert f"worker {os.getpid()}" in result.output
    with subprocess.Popen(["true"]) as gone:
        pass
    up["api-1"] = gone.pid
    del up["worker"]  # as while it waits for its restart
    up.write()
    result = run(status, DATABASE_URL="")
    assert (result.exit_code, last_line(result)) == (1, "Wrong: api-1 does not run; worker does not run")
    found: Any = msgspec.json.decode(run(status, "--json").stdout)
    assert {part["name"]: part["lives"] for part in found["parts"]} == {
        "relay": True, "worker": False, "api-0": True, "api-1": False,
    }  # fmt: skip


def test_an_up_with_another_database_is_not_this_marketplaces(
    caught_up: Market, run: Run, up: Parts, server_url: str
) -> None:
    up.database_url = server_url
    up.write()
    result = run(status)
    assert result.exit_code == 0, result.output
    assert "no `stagedoor up` runs here" in result.output


def test_in_a_marketplace_that_is_stopped_nothing_has_to_move(run: Run, tmp_path: Path) -> None:
    settings = Settings.from_environment({"STAGEDOOR_DATA_DIR": str(tmp_path)})
    with running.database(settings, create=True) as resolved:
        assert resolved.database_url is not None
        migrate(resolved.database_url)
        Market(resolved.database_url, ()).sql(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
            " VALUES (gen_random_uuid(), 1, 'stagedoor.Ticket.FromTheFuture', '{}')"
        )
    result = run(status, DATABASE_URL="")
    assert (result.exit_code, last_line(result)) == (0, "All is well."), result.output
    assert "no `stagedoor up` runs here" in result.output


def test_a_database_without_a_schema_is_one_line(
    server_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", server_url)
    for arguments in (["status"], ["parked", "list"]):
        assert main.run(arguments) == 2
        assert capsys.readouterr().err == "stagedoor: the database has no schema: run `stagedoor migrate`\n"

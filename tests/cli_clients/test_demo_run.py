"""`stagedoor demo` against a stand-in: figures, exit codes, and what it says when the marketplace cheats."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.demo import demo
from cli.embedded.folder import lock_folder, open_folder
from cli.running import Running, write
from data.world_cup import MATCHES, SEATS
from tests.cli_clients.stand_in import StandIn


def run_demo(url: str, json_file: Path, *more: str) -> tuple[Result, dict[str, Any]]:
    arguments = ["--url", url, "--buyers", "40", "--seconds", "1.5", "--hold-seconds", "1", "--json", str(json_file)]
    result = CliRunner().invoke(demo, [*arguments, *more], catch_exceptions=False)
    return result, json.loads(json_file.read_text()) if json_file.exists() else {}


def test_a_run_adds_up(market: StandIn, tmp_path: Path) -> None:
    # Long enough for everything to happen at least once, also on a machine that is busy with something else.
    result, data = run_demo(market.url, tmp_path / "figures.json", "--seconds", "4")
    assert result.exit_code == 0, result.output
    assert data["adds_up"]
    assert data["differences"] == []
    statuses = [order["status"] for order in market.orders.values()]
    assert data["orders"] == {
        "made": len(statuses),
        "completed": statuses.count("completed"),
        "expired": statuses.count("expired"),
        "cancelled": statuses.count("cancelled"),
        "refunded": 0,
        "open": 0,
    }
    assert data["orders"]["completed"] > 0
    assert data["orders"]["expired"] > 0
    assert data["answers"]["sold_out"] > 0
    assert data["answers"]["errors"] == {}
    completed = [order for order in market.orders.values() if order["status"] == "completed"]
    assert data["money"]["amount"] == sum(order["total"]["amount"] for order in completed)
    assert data["latency_ms"]["order"]["count"] == len(statuses) + data["answers"]["sold_out"]
    assert data["latency_ms"]["order"]["p99"] >= data["latency_ms"]["order"]["p50"] > 0


@pytest.mark.long
def test_every_match_is_listed_with_its_capacity(market: StandIn, tmp_path: Path) -> None:
    result, data = run_demo(market.url, tmp_path / "figures.json", "--all")
    assert len(data["listings"]) == MATCHES + 1
    assert sum(row["capacity"] for row in data["listings"][:-1]) == SEATS
    assert all(row["sold"] + row["held"] + row["available"] == row["capacity"] for row in data["listings"])
    for row in data["listings"]:
        assert row["title"] in result.output
    assert "Everything adds up" in result.output


@pytest.mark.long
def test_a_second_run_sells_the_same_listings(market: StandIn, tmp_path: Path) -> None:
    run_demo(market.url, tmp_path / "one.json")
    sold_before = sum(ticket["sold"] for ticket in market.tickets.values())
    result, data = run_demo(market.url, tmp_path / "two.json")
    assert result.exit_code == 0, result.output
    assert f"{MATCHES} matches were listed by an earlier run" in result.output
    assert len(market.tickets) == MATCHES + 2  # each run has its own last tickets
    sold = sum(ticket["sold"] for ticket in market.tickets.values())
    assert sum(row["sold_in_this_run"] for row in data["listings"]) == sold - sold_before


@pytest.mark.long
def test_overselling_is_found(market: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.demonstration.settling.CATCH_UP_SECONDS", 1.0)
    market.switches.oversell = True
    result, data = run_demo(market.url, tmp_path / "figures.json")
    assert result.exit_code == 1
    assert not data["adds_up"]
    assert any("Last tickets" in line and "capacity 5" in line for line in data["differences"])
    assert "DOES NOT ADD UP" in result.output


@pytest.mark.long
def test_lost_orders_are_found(market: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.demonstration.settling.CATCH_UP_SECONDS", 1.0)
    market.switches.forget_orders = True
    result, data = run_demo(market.url, tmp_path / "figures.json")
    assert result.exit_code == 1
    assert any(line.startswith("orders paid: ") and "0 in the buyers' lists" in line for line in data["differences"])


@pytest.mark.long
def test_refusals_and_lost_answers_are_counted_and_add_up(market: StandIn, tmp_path: Path) -> None:
    market.switches.refuse_every = 10
    market.switches.lose_every = 7
    result, data = run_demo(market.url, tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    assert data["answers"]["refused"]["503"] > 0
    assert data["answers"]["attempts_without_answer"] > 0
    assert data["answers"]["errors"] == {}


@pytest.mark.long
def test_a_slow_marketplace_shows_in_the_latencies(market: StandIn, tmp_path: Path) -> None:
    market.switches.answer_seconds = 0.2
    _, data = run_demo(market.url, tmp_path / "figures.json")
    assert data["latency_ms"]["order"]["p50"] >= 200
    assert data["latency_ms"]["payment"]["p50"] < 200


@pytest.mark.long
def test_tokens_that_end_are_renewed(market: StandIn, tmp_path: Path) -> None:
    timer = threading.Timer(1.5, market.end_sessions)
    timer.start()
    result, data = run_demo(market.url, tmp_path / "figures.json")
    timer.join()
    assert result.exit_code == 0, result.output
    assert data["answers"]["errors"] == {}


@pytest.mark.long
def test_ctrl_c_ends_it_early_with_the_table(market: StandIn, tmp_path: Path) -> None:
    timer = threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    result, data = run_demo(market.url, tmp_path / "figures.json", "--seconds", "60")
    timer.join()
    assert result.exit_code == 0, result.output
    assert data["seconds"] < 10
    assert "Orders made" in result.output


def test_nothing_runs_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGEDOOR_DATA_DIR", str(tmp_path / "data"))
    result, _ = run_demo("http://127.0.0.1:9", tmp_path / "figures.json")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "no marketplace is ready at http://127.0.0.1:9" in result.stderr


def test_a_url_that_is_none(market: StandIn, tmp_path: Path) -> None:
    result, _ = run_demo("localhost:8080", tmp_path / "figures.json")
    assert result.exit_code == 2
    assert "--url 'localhost:8080'" in result.stderr


def test_the_marketplace_of_the_data_folder_is_found(market: StandIn, tmp_path: Path) -> None:
    """As `stagedoor up` leaves it: its `running.json`, and the folder's lock held by a living process."""
    data_dir = tmp_path / "data"
    open_folder(data_dir)
    running = Running(
        pid=os.getpid(),
        url=market.url,
        database_url="",
        kafka_bootstrap_servers="",
        stripe_secret_key="",
        stripe_webhook_secret="",
        stripe_api_base=None,
        parts={},
    )
    with lock_folder(data_dir):
        write(data_dir, running)
        arguments = ["--buyers", "2", "--seconds", "1", "--hold-seconds", "1"]
        result = CliRunner().invoke(demo, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert market.url in result.output

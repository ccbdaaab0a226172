"""`stagedoor import` against a stand-in: once however often it is run, and what it says of bad rows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.import_csv import COLUMNS
from cli.importing import import_listings
from tests.cli_clients.stand_in import StandIn

EMAIL, PASSWORD = "seller@example.org", "correct horse battery"
HEADER = ",".join(list(COLUMNS)[:11])  # terms of refund may be left out


def line(title: str, quantity: object = 100) -> str:
    return f"{title},Jazz Night,2027-05-01T20:00:00+02:00,Blue Hall,,music,2500,EUR,{quantity},,"


def body(title: str, quantity: object = 100) -> dict[str, Any]:
    return {
        "title": title,
        "event": {"name": "Jazz Night", "starts_at": "2027-05-01T20:00:00Z", "venue": "Blue Hall"},
        "price": {"amount": 2500, "currency": "EUR"},
        "quantity": quantity,
    }


@pytest.fixture
def seller(market: StandIn, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("STAGEDOOR_SELLER_PASSWORD", PASSWORD)
    return market.account(EMAIL, PASSWORD)


def run_import(market: StandIn, path: Path, *more: str, stdin: str | None = None) -> Result:
    arguments = [str(path), "--seller", EMAIL, "--url", market.url, *more]
    return CliRunner().invoke(import_listings, arguments, input=stdin, catch_exceptions=False)


def write_csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join((HEADER, *lines)) + "\n", encoding="utf-8")
    return path


def titles(market: StandIn) -> list[str]:
    return sorted(ticket["title"] for ticket in market.tickets.values())


@pytest.mark.usefixtures("seller")
def test_good_lines_are_imported_and_bad_ones_named(market: StandIn, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", line("A"), line("B", "ten"), line('"C\nD"'), line("E", 0), line("F"))
    result = run_import(market, path)
    assert result.exit_code == 1
    assert result.stdout == "imported 3, already there 0, bad 2\n"
    assert "line 3: quantity: 'ten' is not a whole number\n" in result.stderr
    assert "line 6: quantity: must be at least 1\n" in result.stderr
    assert titles(market) == ["A", "C\nD", "F"]


@pytest.mark.usefixtures("seller")
@pytest.mark.parametrize("keys_pruned", [False, True])
def test_a_second_run_adds_nothing(market: StandIn, tmp_path: Path, keys_pruned: bool) -> None:
    path = write_csv(
        tmp_path / "list.csv", *(line(f"Row {number}") for number in range(20)), line("Twice"), line("Twice")
    )
    first = run_import(market, path)
    assert (first.exit_code, first.stdout) == (0, "imported 22, already there 0, bad 0\n")
    if keys_pruned:
        market.keys.clear()
    second = run_import(market, path)
    assert (second.exit_code, second.stdout) == (0, "imported 0, already there 22, bad 0\n")
    assert len(market.tickets) == 22
    assert titles(market).count("Twice") == 2


@pytest.mark.usefixtures("seller")
def test_a_row_added_later_is_the_only_new_one(market: StandIn, tmp_path: Path) -> None:
    run_import(market, write_csv(tmp_path / "list.csv", line("A")))
    market.keys.clear()
    result = run_import(market, write_csv(tmp_path / "list.csv", line("A"), line("A"), line("B")))
    assert result.stdout == "imported 2, already there 1, bad 0\n"
    assert titles(market) == ["A", "A", "B"]


@pytest.mark.usefixtures("seller")
def test_csv_and_json_know_each_other(market: StandIn, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([body("A"), body("B", "ten"), body("C", -1)]))
    result = run_import(market, path)
    assert result.exit_code == 1
    assert result.stdout == "imported 1, already there 0, bad 2\n"
    assert "index 1: quantity: is not a whole number\n" in result.stderr
    assert "index 2: quantity: must be at least 1\n" in result.stderr
    same = line("A").replace("20:00:00+02:00", "22:00:00+02:00")
    assert run_import(market, write_csv(tmp_path / "list.csv", same)).stdout == "imported 0, already there 1, bad 0\n"


@pytest.mark.usefixtures("seller")
def test_refusals_and_lost_answers_make_no_second_listing(market: StandIn, tmp_path: Path) -> None:
    market.switches.refuse_every = 5
    market.switches.lose_every = 4
    path = write_csv(tmp_path / "list.csv", *(line(f"Row {number}") for number in range(40)))
    assert run_import(market, path).stdout == "imported 40, already there 0, bad 0\n"
    assert len(market.tickets) == len(set(titles(market))) == 40


@pytest.mark.usefixtures("seller")
def test_a_run_at_once_after_another_says_what_it_did(market: StandIn, tmp_path: Path) -> None:
    """The seller's list does not show the listings yet; the marketplace answers again under their keys."""
    path = write_csv(tmp_path / "list.csv", *(line(f"Row {number}") for number in range(10)))
    run_import(market, path)
    market.switches.hide_listings = True
    market.switches.refuse_every = 3
    more = write_csv(tmp_path / "more.csv", *(line(f"Row {number}") for number in range(12)))
    assert run_import(market, more).stdout == "imported 2, already there 10, bad 0\n"
    assert len(market.tickets) == 12


@pytest.mark.usefixtures("seller")
def test_a_broken_file_imports_nothing(market: StandIn, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([body("A")])[:-1] + ", {")
    result = run_import(market, path)
    assert result.exit_code == 2
    assert "index 1: not JSON" in result.stderr
    assert market.tickets == {}


@pytest.mark.usefixtures("seller")
def test_control_characters_do_not_reach_the_terminal(market: StandIn, tmp_path: Path) -> None:
    result = run_import(market, write_csv(tmp_path / "list.csv", line("A", "\x1b[2J")))
    assert "\x1b" not in result.stderr
    assert "line 2: quantity: " in result.stderr


def test_the_password_from_standard_input(market: StandIn, tmp_path: Path) -> None:
    market.account(EMAIL, PASSWORD)
    path = write_csv(tmp_path / "list.csv", line("A"))
    assert run_import(market, path, "--password-stdin", stdin=f"{PASSWORD}\n").exit_code == 0


def test_create_makes_the_account_once(market: StandIn, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "list.csv", line("A"))
    for summary in ("imported 1, already there 0, bad 0\n", "imported 0, already there 1, bad 0\n"):
        result = run_import(market, path, "--create", "--password-stdin", stdin=f"{PASSWORD}\n")
        assert (result.exit_code, result.stdout) == (0, summary)
    assert list(market.users) == [EMAIL]


@pytest.mark.usefixtures("seller")
def test_the_marketplace_stops_answering(market: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.client.MAX_ATTEMPTS", 2)
    market.switches.refuse_every = 1
    result = run_import(market, write_csv(tmp_path / "list.csv", line("A")))
    assert result.exit_code == 1
    assert result.stdout == "imported 0, already there 0, bad 0\n"
    assert "stopped before the end: 503 overloaded" in result.stderr


@pytest.mark.usefixtures("seller")
@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, (), "No such file"),
        (HEADER.replace(",", ";"), (), "separated by semicolons"),
        (f"{HEADER},colour\n", (), "unknown columns: 'colour'"),
        (f"{HEADER}\n", ("--password", "x"), "a password on the command line is seen by others"),
        (f"{HEADER}\n", ("--password-stdin",), "no password for seller@example.org"),
        (f"{HEADER}\n", ("--url", "http://127.0.0.1:9"), "no marketplace is ready at http://127.0.0.1:9"),
    ],
)
def test_used_wrongly(
    market: StandIn, tmp_path: Path, content: str | None, arguments: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_text(content)
    result = run_import(market, path, *arguments, stdin="\n")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("more", "message"),
    [((), "no account with this password"), (("--create",), "there is an account with another password")],
)
def test_a_wrong_password(market: StandIn, tmp_path: Path, more: tuple[str, ...], message: str) -> None:
    market.account(EMAIL, "another password")
    result = run_import(market, write_csv(tmp_path / "list.csv", line("A")), "--password-stdin", *more, stdin=PASSWORD)
    assert result.exit_code == 2
    assert message in result.stderr


def test_ctrl_c_says_how_far_it_came(market: StandIn, tmp_path: Path) -> None:
    market.account(EMAIL, PASSWORD)
    market.switches.answer_seconds = 0.3
    path = write_csv(tmp_path / "list.csv", *(line(f"Row {number}") for number in range(400)))
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "import", str(path), "--seller", EMAIL, "--url", market.url],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "STAGEDOOR_SELLER_PASSWORD": PASSWORD},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while len(market.tickets) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert re.fullmatch(r"imported \d+, already there 0, bad 0\n", out)
    assert "stopped before the end: interrupted; run it again to go on" in err
    assert 10 <= len(market.tickets) < 400

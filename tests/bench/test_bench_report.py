"""What is printed, written and returned to the shell."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from click.testing import Result as Ran
from rich.console import Console

import bench.__main__ as command
from bench import report
from bench.figures import Bar, Figure, Plan
from bench.suite import BENCHMARKS, Result, load, measure

MACHINE = {"cpu": "Some CPU", "cores": 2, "python": "3.11.7", "postgresql": "18.4", "broker": "Apache Kafka 4.3.1"}
QUICK = Plan(runs=1, seconds=0.5, scale=0.01)

RATIO = Figure(
    "orders: hot", [0.30, 0.20, 0.22], "×", Bar(0.20, 0.33), "4,400 orders/s", "20,000 bare POST/s", {"seen": [1]}
)
SLOW = Figure("lag: p99", [300.0, 260.0, 900.0], "ms", Bar(250, 50, below=True))
OVERSOLD = Figure("rush: oversold", [0, 1, 1], "tickets", Bar(0, 0, below=True))


def shown(results: Sequence[Result], margin: float = 1.0) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(report.table(results, MACHINE, Plan(), margin))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_figure_is_the_median_of_its_runs() -> None:
    assert RATIO.value == 0.22
    assert SLOW.value == 300


def test_bars_hold_at_their_very_value() -> None:
    assert Bar(0.2, 0.3).holds(0.2)
    assert not Bar(0.2, 0.3).holds(0.199)
    assert Bar(50, 20, below=True).holds(50)
    assert not Bar(50, 20, below=True).holds(50.1)
    assert not Bar(50, 20, below=True).holds(float("nan"))
    assert Bar(50, 20, below=True).reaches_aim(20)
    assert not Bar(0.2, 0.3).reaches_aim(0.29)


def test_a_margin_makes_bars_easier_but_not_zero() -> None:
    assert Bar(0.2, 0.3).widened(2) == Bar(0.1, 0.3)
    assert Bar(250, 50, below=True).widened(2) == Bar(500, 50, below=True)
    assert not Bar(0, 0, below=True).widened(2).holds(1)


def test_exit_code() -> None:
    good, missed = Result("orders", 1.0, [RATIO]), Result("lag", 1.0, [SLOW])
    assert report.exit_code([good]) == 0
    assert report.exit_code([good, missed]) == 1
    assert report.exit_code([good, missed], margin=2) == 0
    assert report.exit_code([good, Result("rush", 1.0, [OVERSOLD])], margin=2) == 1
    assert report.exit_code([good, Result("reads", 1.0, failure="it broke")], margin=2) == 1


def test_the_table_has_every_figure_with_limit_spread_bar_and_verdict() -> None:
    failed = Result("reads", 1.0, failure="RuntimeError: unexpected answers [/by status]")
    text = shown([Result("orders", 1.0, [RATIO]), Result("lag", 1.0, [SLOW, OVERSOLD]), failed])
    for part in (
        "Some CPU, 2 cores", "orders: hot", "4,400 orders/s", "20,000 bare POST/s", "0.22 ×", "(0.20–0.30)", "≥ 0.20 ×",
        "≥ 0.33 ×", "300 ms", "(260–900)", "≤ 250 ms", "1 tickets", "FAILED", "unexpected answers [/by status]",
    ):  # fmt: skip
        assert part in text
    assert text.count("holds") == 1
    assert text.count("MISSED") == 2
    assert "easier" not in text


def test_a_check_says_how_much_easier_its_bars_are() -> None:
    text = shown([Result("lag", 1.0, [SLOW])], margin=2)
    assert "bars 2 times easier" in text
    assert "≤ 500 ms" in text
    assert "MISSED" not in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.2179, "×", "0.22 ×"), (1, "×", "1.00 ×"), (4_210.4, "orders/s", "4,210 orders/s"), (12.345, "ms", "12.3 ms"),
        (20, "ms", "20 ms"), (1.8612, "s", "1.86 s"), (0, "tickets", "0 tickets"), (float("nan"), "ms", "nan ms"),
    ],
)  # fmt: skip
def test_amounts_have_three_digits_or_so(value: float, unit: str, text: str) -> None:
    assert report.amount(value, unit) == text


def test_results_have_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "ROOT", tmp_path)
    path = report.write(Result("orders", 12.34, [RATIO]), MACHINE, Plan())
    assert path == tmp_path / "bench" / "results" / "orders.json"
    written = json.loads(path.read_text())
    assert written["machine"] == MACHINE
    assert written["plan"] == {"runs": 3, "seconds": 6.0, "scale": 1.0}
    assert written["failure"] is None
    [figure] = written["figures"]
    assert figure["judged"] == [0.30, 0.20, 0.22]
    assert figure["value"] == 0.22
    assert figure["holds"] is True
    assert figure["bar"] == {"bar": 0.20, "aim": 0.33, "below": False}
    assert figure["details"] == {"seen": [1]}


def test_what_has_no_bar_is_shown_and_written_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "ROOT", tmp_path)
    result = Result("sell-out", 1.0, [Figure("sell-out: all", [25.0], "min", Bar(float("inf"), 30, below=True))])
    written = json.loads(report.write(result, MACHINE, Plan()).read_text(), parse_constant=pytest.fail)
    assert written["figures"][0]["bar"]["bar"] is None
    text = shown([result])
    assert "none" in text
    assert "inf" not in text
    assert "≤ 30 min" in text


@pytest.mark.parametrize("plan", [QUICK, Plan(runs=2), Plan(seconds=5), Plan(scale=0.5)])
def test_a_quick_look_does_not_replace_what_was_published(plan: Plan) -> None:
    assert not plan.is_full
    assert report.results_folder(plan) == report.ROOT / "build" / "bench" / "results"


def test_every_benchmark_can_be_loaded() -> None:
    assert all(callable(load(name)) for name in BENCHMARKS)


Fake = Callable[[str, Callable[[Plan], Sequence[Figure]]], None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    """Puts a function in the place of a benchmark."""
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr(command, "pin_broker", lambda _settings: "Apache Kafka 4.3.1")
    monkeypatch.setattr(command, "describe", lambda broker: {**MACHINE, "broker": broker})

    def put(name: str, run: Callable[[Plan], Sequence[Figure]]) -> None:
        module = f"fake_{name}"
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(run=run))
        monkeypatch.setitem(BENCHMARKS, name, f"{module}:run")

    return put


def ran(*arguments: str) -> Ran:
    return CliRunner().invoke(command.main, arguments)


def test_an_error_is_the_benchmarks_failure(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    def breaks(_plan: Plan) -> Sequence[Figure]:
        raise RuntimeError("unexpected answers by status: {500: 1}")

    fake("rush", breaks)
    result = measure("rush", QUICK)
    assert result.failure == "RuntimeError: unexpected answers by status: {500: 1}"
    assert not result.figures
    assert "Traceback" in capsys.readouterr().err


def test_figures_outlive_a_curve_that_cannot_be_drawn(fake: Fake) -> None:
    fake("growth", lambda _plan: [RATIO])
    result = measure("growth", QUICK)
    assert result.figures == [RATIO]
    assert result.failure == "KeyError: 'curve'"


def test_the_command_passes_the_plan_and_holds_bars(fake: Fake, tmp_path: Path) -> None:
    plans: list[Plan] = []

    def missed(plan: Plan) -> Sequence[Figure]:
        plans.append(plan)
        return [SLOW]

    fake("lag", missed)
    done = ran("lag", "lag", "--runs", "1", "--seconds", "0.5", "--scale", "0.01")
    assert done.exit_code == 1
    assert plans == [QUICK]
    assert "lag: p99" in done.output
    assert (tmp_path / "build" / "bench" / "results" / "lag.json").exists()
    assert ran("lag", "--check", "--runs", "1").exit_code == 0


def test_one_failed_benchmark_does_not_keep_the_others_from_running(fake: Fake) -> None:
    def breaks(_plan: Plan) -> Sequence[Figure]:
        raise OSError("nobody listens")

    fake("rush", breaks)
    fake("reads", lambda _plan: [RATIO])
    done = ran("rush", "reads", "--runs", "1")
    assert done.exit_code == 1
    assert "nobody listens" in done.output
    assert "orders: hot" in done.output


def test_an_unknown_name_is_refused_with_all_the_names() -> None:
    refused = ran("order")
    assert refused.exit_code == 2
    assert all(name in refused.output for name in BENCHMARKS)

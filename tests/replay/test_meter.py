"""The bar of a long task: how fast it goes and how long the rest takes."""

from __future__ import annotations

from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from cli import meter as module
from cli.meter import Meter, Rate, duration


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_rate_and_what_is_left(clock: Clock) -> None:
    rate = Rate()
    rate.note(40_000)
    assert rate.shown(100_000) == ""
    clock.now += 2
    rate.note(60_000)
    assert rate.shown(100_000) == "10,000/s, 4 s left"
    assert rate.shown(None) == "10,000/s"
    assert rate.shown(60_000) == "10,000/s"


def test_the_rate_follows_a_change(clock: Clock) -> None:
    rate = Rate()
    for second in range(100):
        clock.now += 1
        rate.note(second * 1_000)
    for second in range(30):
        clock.now += 1
        rate.note(99_000 + second * 10)
    assert rate.shown(None) == "10/s"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.2, "0 s"), (59.4, "59 s"), (90, "2 min"), (3599, "60 min"), (7_500, "2 h 5 min")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_line_where_there_is_no_terminal(clock: Clock) -> None:
    out = StringIO()
    with Meter(Console(file=out, width=120), "Folding", 100, rated=True) as meter:
        meter.to(20)
        clock.now += 6
        meter.to(50, total=200)
        meter.say("another [thing]")
        clock.now += 1
        meter.to(200)
    assert out.getvalue().splitlines() == [
        "Folding: 50 of 200, 5/s, 30 s left",
        "another [thing]",
        "Folding: 200 of 200, 26/s",
    ]


def test_a_bar_on_a_terminal(clock: Clock) -> None:
    out = StringIO()
    target = Console(file=out, width=120, force_terminal=True, get_time=lambda: clock.now)
    with Meter(target, "Folding", 100, rated=True) as meter:
        meter.to(20)
        clock.now += 6
        meter.to(50)
        meter.say("another thing")
    assert "another thing" in out.getvalue()
    assert "5/s, 10 s left" in out.getvalue()

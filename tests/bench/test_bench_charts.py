"""Charts are well-formed, have their units, and put values where they belong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench import curves
from bench.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, latency_chart, line_chart, percentile_curve
from bench.curves import draw, folder
from bench.figures import Bar, Figure, Plan

SVG = "{http://www.w3.org/2000/svg}"


def drawn(path: Path) -> tuple[list[str], list[list[tuple[float, float]]]]:
    """The texts and the lines, without those of the legend."""
    root = ET.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    curves = [path.attrib["d"] for path in root.iter(f"{SVG}path") if "h26" not in path.attrib["d"]]
    corners = [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", curve)] for curve in curves]
    return [text.text or "" for text in root.iter(f"{SVG}text")], corners


def test_a_chart_has_title_units_legend_and_ticks(tmp_path: Path) -> None:
    path = tmp_path / "new" / "chart.svg"
    series = {"A & B": [(0.0, 10.0), (20.0, 45.0)], "<C>": [(0.0, 5.0), (10.0, 7.0)]}
    line_chart(path, "Orders <now>", "time (s)", "orders/s", series)
    texts, lines = drawn(path)
    assert {"Orders <now>", "time (s)", "orders/s", "A & B", "<C>", "0", "10", "20", "50"} <= set(texts)
    assert [len(line) for line in lines] == [2, 2]
    (first_x, first_y), (last_x, last_y) = lines[0]
    assert (first_x, last_x) == (LEFT, WIDTH - RIGHT)
    assert TOP < last_y < first_y < HEIGHT - BOTTOM
    assert first_y == pytest.approx(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * 10 / 50, abs=0.1)


def test_it_can_be_read_in_light_and_dark(tmp_path: Path) -> None:
    line_chart(tmp_path / "chart.svg", "t", "x", "y", {"a": [(1, 1)]})
    assert "prefers-color-scheme: dark" in (tmp_path / "chart.svg").read_text()


def test_decades_are_equally_wide_on_a_logarithmic_axis(tmp_path: Path) -> None:
    line_chart(tmp_path / "chart.svg", "Growth", "events", "ms", {"p50": [(1e4, 4), (1e5, 4), (1e6, 5)]}, log_x=True)
    texts, [line] = drawn(tmp_path / "chart.svg")
    assert {"10,000", "100,000", "1,000,000"} <= set(texts)
    assert line[1][0] - line[0][0] == pytest.approx(line[2][0] - line[1][0], abs=0.2)


def test_steps_hold_a_value_until_the_next(tmp_path: Path) -> None:
    line_chart(tmp_path / "chart.svg", "Rate", "s", "orders/s", {"sold": [(0, 10), (1, 20)]}, step=True)
    [curve] = re.findall(r'<path d="(M[^"h]+)"', (tmp_path / "chart.svg").read_text())
    assert re.fullmatch(r"M[\d.]+ [\d.]+H[\d.]+V[\d.]+", curve)


@pytest.mark.parametrize("points", [[(5.0, 5.0)], [(0.0, 0.0), (1.0, 0.0)], [(0.0, 0.0004), (1e-3, 0.0001)]])
def test_odd_values_are_drawn_too(tmp_path: Path, points: list[tuple[float, float]]) -> None:
    line_chart(tmp_path / "chart.svg", "t", "x", "y", {"a": points})
    _, [line] = drawn(tmp_path / "chart.svg")
    assert all(LEFT <= x <= WIDTH - RIGHT and TOP - 0.1 <= y <= HEIGHT - BOTTOM + 0.1 for x, y in line)


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        line_chart(tmp_path / "chart.svg", "t", "x", "y", {"a": []})


def test_the_percentile_curve_is_the_percentiles() -> None:
    curve = dict(percentile_curve([number / 1_000 for number in range(1_000, 0, -1)]))
    assert curve[1.0] == 1
    assert curve[10.0] == 901
    assert curve[100.0] == 991
    assert curve[1_000.0] == 1_000
    assert percentile_curve([]) == []
    assert percentile_curve([0.005]) == [(1.0, 5.0)]


def test_latencies_are_drawn_over_nines(tmp_path: Path) -> None:
    latencies = [number / 10_000 for number in range(1_000)]
    curve = percentile_curve(latencies)
    latency_chart(tmp_path / "chart.svg", "Orders", {"run 1": curve, "run 2": curve})
    texts, lines = drawn(tmp_path / "chart.svg")
    assert {"0 %", "90 %", "99 %", "99.9 %", "latency (ms)", "percentile of the requests"} <= set(texts)
    assert "99.99 %" not in texts
    assert len(lines) == 2


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where curves are published, of the test's own."""
    monkeypatch.setattr(curves, "ROOT", tmp_path)
    return tmp_path / "docs" / "performance"


SALE = {
    "runs": [
        {
            "seats": 72_410,
            "orders_per_second_over_time": [(0.5, 900), (1.5, 1_000), (2.5, 950)],
            "processor_us_by_orders": [(1_000, {"api": 2_400, "worker": 600}), (2_000, {"api": 2_600, "worker": 590})],
        }
    ]
}


@pytest.mark.parametrize(
    ("name", "file", "details", "shown"),
    [
        (
            "orders",
            "latency.svg",
            {"orders_per_second": 1234.5, "percentile_curves": [[(1.0, 2.0), (10.0, 3.0)], [(1.0, 2.0), (10.0, 5.0)]]},
            {"Orders at half of the highest rate (1,234 a second)", "run 1", "run 2", "90 %"},
        ),
        (
            "growth",
            "growth.svg",
            {
                "curve": [
                    {"stored_events_before": 10_000, "p50_ms": {"1": [1.0, 1.2, 9.0], "8": [3.0, 3.0, 3.0]}},
                    {"stored_events_before": 1_000_000, "p50_ms": {"1": [1.0, 1.3, 1.4], "8": [3.0, 3.0, 3.1]}},
                ]
            },
            {"stored events", "order p50 (ms)", "1 connection", "8 connections", "1,000,000", "3"},
        ),
        (
            "sell-out",
            "sell-out.svg",
            SALE,
            {"Sell-out of 72,410 seats", "time (s)", "0", "3", "1,000"},
        ),
        (
            "sell-out",
            "sell-out-cost.svg",
            SALE,
            {"What a paid order costs while orders pile up", "orders paid so far", "api", "worker", "3,000"},
        ),
    ],
)
def test_published_curves_are_drawn_from_the_details(
    published: Path, name: str, file: str, details: dict[str, Any], shown: set[str]
) -> None:
    figures = [Figure("first", [1.0], "s", Bar(1, 1)), Figure("second", [1.0], "s", Bar(1, 1), details=details)]
    draw(name, figures, Plan())
    texts, _ = drawn(published / file)
    assert shown <= set(texts)


def test_most_benchmarks_have_no_curve(published: Path) -> None:
    draw("rush", [], Plan())
    assert not published.exists()


def test_a_quick_look_does_not_replace_published_curves() -> None:
    assert folder(Plan()).parts[-2:] == ("docs", "performance")
    assert folder(Plan(runs=1)).parts[-3:] == ("build", "bench", "performance")

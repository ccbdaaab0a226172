"""The curves that are published, drawn from what the results hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.charts import Point, latency_chart, line_chart
from bench.figures import Figure, Plan
from bench.machine import ROOT


def draw(name: str, figures: Sequence[Figure], plan: Plan) -> None:
    """Draws the curve of a benchmark, if it has one."""
    if name in _CURVES:
        _CURVES[name](figures, folder(plan))


def folder(plan: Plan) -> Path:
    """`docs/performance`; a quick look goes elsewhere, since it must not replace what was published."""
    return ROOT / "docs" / "performance" if plan.is_full else ROOT / "build" / "bench" / "performance"


def _latency(figures: Sequence[Figure], into: Path) -> None:
    details = _details(figures, "percentile_curves")
    series = {f"run {number}": curve for number, curve in enumerate(details["percentile_curves"], 1)}
    rate = details["orders_per_second"]
    latency_chart(into / "latency.svg", f"Orders at half of the highest rate ({rate:,.0f} a second)", series)


def _growth(figures: Sequence[Figure], into: Path) -> None:
    places = _details(figures, "curve")["curve"]
    series = {
        f"{connections} connection{'s' if connections != '1' else ''}": [
            (place["stored_events_before"], median(place["p50_ms"][connections])) for place in places
        ]
        for connections in places[0]["p50_ms"]
    }
    title = "Order latency against what is stored"
    line_chart(into / "growth.svg", title, "stored events", "order p50 (ms)", series, log_x=True)


def _sell_out(figures: Sequence[Figure], into: Path) -> None:
    runs = _details(figures, "runs")["runs"]
    series = {f"run {number}": _steps(run["orders_per_second_over_time"]) for number, run in enumerate(runs, 1)}
    title = f"Sell-out of {runs[0]['seats']:,} seats"
    line_chart(into / "sell-out.svg", title, "time (s)", "orders made and paid (1/s)", series, step=True)
    costs = runs[0]["processor_us_by_orders"]
    by_part = {part: [(orders, used[part]) for orders, used in costs] for part in costs[0][1]}
    title = "What a paid order costs while orders pile up"
    line_chart(into / "sell-out-cost.svg", title, "orders paid so far", "processor time (µs an order)", by_part)


def _steps(middles: Sequence[Point]) -> list[Point]:
    """Values over slices of time of the same length, given in the middle of each, as steps."""
    half = middles[0][0]
    end, last = middles[-1]
    return [*((middle - half, value) for middle, value in middles), (end + half, last)]


def _details(figures: Sequence[Figure], key: str) -> dict[str, Any]:
    return next((figure.details for figure in figures if key in figure.details), {})


_CURVES: dict[str, Callable[[Sequence[Figure], Path], None]] = {
    "orders": _latency,
    "growth": _growth,
    "sell-out": _sell_out,
}

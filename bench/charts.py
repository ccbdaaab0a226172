"""Curves as plain SVG files: no library, readable on light and dark pages, small enough to read in a diff."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

Point = tuple[float, float]

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 44, 44, 92
"""Margins around the plot, for the title, the axes' labels and the legend."""

TICKS = 6
"""About so many on an axis."""

COLORS = ("#3d7fd9", "#d9730d", "#2f9e62", "#b452cd", "#c43d4b", "#7a7f87")
"""Told apart by the colour-blind, and seen on white as on black; the dashes help where there is no colour."""

DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "1 2")

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 15px; font-weight: 600; }
.page { fill: #ffffff; } .grid { stroke: #d8dee4; } .axis { stroke: #57606a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .page { fill: #0d1117; } .grid { stroke: #30363d; } .axis { stroke: #8b949e; }
}
"""

NINES = {1.0: "0 %", 10.0: "90 %", 100.0: "99 %", 1_000.0: "99.9 %", 10_000.0: "99.99 %", 100_000.0: "99.999 %"}
"""Percentiles where an axis of nines has its ticks: at 1 / (1 - share)."""

POINTS_PER_NINE = 24

FEW_POINTS = 12
"""A line of at most so many has a dot at each of them: what is between was not measured."""


def line_chart(
    path: Path,
    title: str,
    x_title: str,
    y_title: str,
    series: Mapping[str, Sequence[Point]],
    *,
    log_x: bool = False,
    step: bool = False,
    x_labels: Mapping[float, str] | None = None,
) -> None:
    """Draws lines, or steps that hold a value until the next point.

    Args:
        x_title: with the unit, as `seconds`.
        y_title: the same; this axis begins at 0.
        series: points by name, in the order of x; every x above 0 with `log_x`.
        x_labels: ticks of the x axis, instead of round numbers.
    """
    points = [point for line in series.values() for point in line]
    assert points, "nothing to draw"
    plot = _Plot(points, log_x)
    shown = x_labels or {x: _number(x) for x in (plot.powers_of_ten() if log_x else _round_numbers(*plot.x_range))}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
        _text(LEFT, 26, title, "start", "title"),
        *(part for x, label in shown.items() if plot.has_x(x) for part in _x_tick(plot.x(x), label)),
        *(part for y in _round_numbers(0.0, plot.y_most) for part in _y_tick(plot.y(y), _number(y))),
        _line("axis", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 40, x_title),
        f'<g transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)">{_text(0, 0, y_title)}</g>',
        *_legend(tuple(series)),
        *(_curve(plot, line, number, step) for number, line in enumerate(series.values()) if line),
        *(_dot(plot, point, n) for n, line in enumerate(series.values()) if len(line) <= FEW_POINTS for point in line),
        "</svg>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def latency_chart(path: Path, title: str, curves: Mapping[str, Sequence[Point]]) -> None:
    """Draws how many milliseconds each share of the requests took at most (`percentile_curve`)."""
    line_chart(path, title, "percentile of the requests", "latency (ms)", curves, log_x=True, x_labels=NINES)


def percentile_curve(latencies: Sequence[float]) -> list[Point]:
    """Points (1 / (1 - share), milliseconds) of latencies in seconds, evenly apart on an axis of nines."""
    ordered = sorted(latencies)
    steps = int(POINTS_PER_NINE * math.log10(len(ordered))) if ordered else -1
    places = (10 ** (step / POINTS_PER_NINE) for step in range(steps + 1))
    return [(place, 1_000 * ordered[min(len(ordered) - 1, int(len(ordered) * (1 - 1 / place)))]) for place in places]


class _Plot:
    """Where values are on the page."""

    def __init__(self, points: Sequence[Point], log_x: bool) -> None:
        self._log = log_x
        self.x_range = min(x for x, _ in points), max(x for x, _ in points)
        assert not log_x or self.x_range[0] > 0
        self.y_most = max(_round_numbers(0.0, max(y for _, y in points) or 1.0))
        self._least, self._most = map(self._scaled, self.x_range)

    def _scaled(self, x: float) -> float:
        return math.log10(x) if self._log else x

    def x(self, value: float) -> float:
        share = (self._scaled(value) - self._least) / ((self._most - self._least) or 1.0)
        return LEFT + share * (WIDTH - RIGHT - LEFT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.y_most * (HEIGHT - BOTTOM - TOP)

    def has_x(self, value: float) -> bool:
        return self.x_range[0] <= value <= self.x_range[1]

    def powers_of_ten(self) -> list[float]:
        return [10.0**power for power in range(math.ceil(self._least), math.floor(self._most) + 1)]


def _round_numbers(least: float, most: float) -> list[float]:
    """Some multiples of 1, 2 or 5 times a power of ten: from within the range to the first at or above `most`."""
    rough = max(most - least, 1e-9) / TICKS
    magnitude = 10.0 ** math.floor(math.log10(rough))
    apart = next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor >= rough)
    return [number * apart for number in range(math.ceil(least / apart), math.ceil(most / apart - 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value % 1 == 0 else f"{value:,.3g}"


def _curve(plot: _Plot, line: Sequence[Point], number: int, step: bool) -> str:
    path = f"M{plot.x(line[0][0]):.1f} {plot.y(line[0][1]):.1f}"
    for x, y in line[1:]:
        path += f"H{plot.x(x):.1f}V{plot.y(y):.1f}" if step else f"L{plot.x(x):.1f} {plot.y(y):.1f}"
    return f'<path d="{path}" {_stroke(number)}/>'


def _dot(plot: _Plot, point: Point, number: int) -> str:
    color = COLORS[number % len(COLORS)]
    return f'<circle cx="{plot.x(point[0]):.1f}" cy="{plot.y(point[1]):.1f}" r="3.5" fill="{color}"/>'


def _legend(names: Sequence[str]) -> list[str]:
    apart = (WIDTH - LEFT - RIGHT) / max(len(names), 2)
    y = HEIGHT - 20
    return [
        part
        for number, name in enumerate(names)
        for x in [LEFT + number * apart]
        for part in (f'<path d="M{x:.0f} {y - 4}h26" {_stroke(number)}/>', _text(x + 32, y, name, "start"))
    ]


def _stroke(number: int) -> str:
    dash = DASHES[number % len(DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{COLORS[number % len(COLORS)]}" stroke-width="2"{dashed}'


def _x_tick(x: float, label: str) -> tuple[str, str]:
    return _line("grid", x, TOP, x, HEIGHT - BOTTOM), _text(x, HEIGHT - BOTTOM + 18, label)


def _y_tick(y: float, label: str) -> tuple[str, str]:
    return _line("grid", LEFT, y, WIDTH - RIGHT, y), _text(LEFT - 8, y + 4, label, "end")


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", kind: str = "") -> str:
    marked = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{marked}>{escape(text)}</text>'

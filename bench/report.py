"""The table at the end, the results as JSON, the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table

from bench.figures import Figure, Plan
from bench.machine import ROOT
from bench.suite import Result

CHECK_MARGIN = 3.0
"""By so much bars are easier with `--check`: shared CI machines are that noisy, and a regression worth stopping for is
larger."""

RATIO = "×"


def table(results: Sequence[Result], machine: dict[str, Any], plan: Plan, margin: float = 1.0) -> Table:
    """Every figure with the limit of the same run, its bar and its aim."""
    about = "{cpu}, {cores} cores · Python {python} · PostgreSQL {postgresql} · {broker}".format(**machine)
    made = f"median (least–most) of {plan.runs} runs of {plan.seconds:g} s, scale {plan.scale:g}"
    easier = "" if margin == 1 else f" · bars {margin:g} times easier than the real ones"
    made_table = Table(title=f"{made}{easier}\n{about}", show_lines=True)
    for heading in ("figure", "measured", "beside it", "judged", "bar", "aim"):
        made_table.add_column(heading, overflow="fold")
    for result in results:
        for figure in result.figures:
            made_table.add_row(*_row(figure, margin))
        if result.failure:
            made_table.add_row(result.name, escape(result.failure), "", "", "[bold red]FAILED[/]", "")
    return made_table


def exit_code(results: Sequence[Result], margin: float = 1.0) -> int:
    """0 if every bar holds, else 1."""
    good = all(
        not result.failure and all(figure.bar.widened(margin).holds(figure.value) for figure in result.figures)
        for result in results
    )
    return 0 if good else 1


def write(result: Result, machine: dict[str, Any], plan: Plan) -> Path:
    """Writes what was found, every run of it, as JSON; the file's path."""
    folder = results_folder(plan)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.name}.json"
    document = {
        "benchmark": result.name,
        "machine": machine,
        "plan": {"runs": plan.runs, "seconds": plan.seconds, "scale": plan.scale},
        "took_seconds": round(result.seconds, 1),
        "failure": result.failure or None,
        "figures": [figure.as_json() for figure in result.figures],
    }
    # msgspec writes infinity and what is not a number as null; the standard library's output would be no JSON.
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    return path


def results_folder(plan: Plan) -> Path:
    """`bench/results`; a quick look goes elsewhere, since it must not replace what was published."""
    return ROOT / "bench" / "results" if plan.is_full else ROOT / "build" / "bench" / "results"


def amount(value: float, unit: str) -> str:
    """A value with three digits or so, as `4,210 orders/s`, `12.3 ms`, `0.24 ×`."""
    size = abs(value)
    digits = 0 if size >= 100 or (value % 1 == 0 and unit != RATIO) else 1 if size >= 10 else 2  # noqa: PLR2004
    return f"{value:,.{digits}f} {unit}".rstrip()


def _row(figure: Figure, margin: float) -> tuple[str, ...]:
    judged = amount(figure.value, figure.unit)
    if len(figure.judged) > 1:
        least, most = (amount(value, "") for value in (min(figure.judged), max(figure.judged)))
        judged += f"\n({least}–{most})"
    bar = figure.bar.widened(margin)
    verdict = "[green]holds[/]" if bar.holds(figure.value) else "[bold red]MISSED[/]"
    reached = "[green]reached[/]" if bar.reaches_aim(figure.value) else "not yet"
    sign = "≤" if bar.below else "≥"
    demands = ((bar.bar, verdict), (bar.aim, reached))
    words = (
        f"{sign} {amount(demanded, figure.unit)}\n{how}" if isfinite(demanded) else "none" for demanded, how in demands
    )
    return (figure.name, figure.figure, figure.limit, judged, *words)

"""Every benchmark, by name."""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from bench.curves import draw
from bench.figures import Figure, Plan

Benchmark = Callable[[Plan], Sequence[Figure]]

BENCHMARKS = {
    "orders": "bench.orders:run",
    "rush": "bench.rush:run",
    "spike": "bench.spike:run",
    "reads": "bench.reads:run",
    "growth": "bench.growth:run",
    "cold": "bench.cold:run",
    "memory": "bench.memory:run",
    "lag": "bench.lag:run",
    "replay": "bench.replay:run",
    "expiry": "bench.expiry:run",
    "sales": "bench.sales:run",
    "sell-out": "bench.sell_out:run",
}
"""Name → where it is; imported when it is run."""


@dataclass(frozen=True)
class Result:
    """What came of one benchmark."""

    name: str
    seconds: float
    figures: Sequence[Figure] = ()
    failure: str = ""
    """What went wrong; empty if nothing did."""


def load(name: str) -> Benchmark:
    """The function of a benchmark.

    Raises:
        KeyError: there is none of this name.
    """
    module, function = BENCHMARKS[name].split(":")
    return cast("Benchmark", getattr(importlib.import_module(module), function))


def measure(name: str, plan: Plan) -> Result:
    """Runs one. An error in it is its failure, shown at once, and does not keep the others from running."""
    began = time.monotonic()
    figures: Sequence[Figure] = ()
    try:
        figures = load(name)(plan)
        draw(name, figures, plan)
    except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the table and the exit code
        traceback.print_exc()
        return Result(name, time.monotonic() - began, figures, f"{type(error).__name__}: {error}")
    return Result(name, time.monotonic() - began, figures)

"""What a benchmark found: figures, each with the limit of the same run, its bar and its aim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Plan:
    """How thoroughly to measure."""

    runs: int = 3
    """Each figure is the median of so many."""
    seconds: float = 6.0
    """Of load in one run."""
    scale: float = 1.0
    """Multiplies every amount (events, listings, buyers) that need not be full for a quick look."""

    def scaled(self, amount: int, least: int = 1) -> int:
        """An amount at this scale."""
        return max(least, round(amount * self.scale))

    @property
    def is_full(self) -> bool:
        """Whether its results may be published: nothing is left out or cut short."""
        return self.runs >= Plan.runs and self.seconds >= Plan.seconds and self.scale >= Plan.scale


@dataclass(frozen=True)
class Bar:
    """What must hold, and what is hoped for; a figure is good at or above both, or (`below`) at or below."""

    bar: float
    aim: float
    below: bool = False

    def widened(self, factor: float) -> Bar:
        """With a bar that is easier by a factor (0 stays 0: nothing oversold is nothing oversold)."""
        return replace(self, bar=self.bar * factor if self.below else self.bar / factor)

    def holds(self, value: float) -> bool:
        return value <= self.bar if self.below else value >= self.bar

    def reaches_aim(self, value: float) -> bool:
        return value <= self.aim if self.below else value >= self.aim


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    """As in `orders: one hot listing, 32 connections`."""
    judged: Sequence[float]
    """What the bar judges, one value a run: a ratio or a figure in `unit`."""
    unit: str
    """Of `judged`: `×` for a ratio, else `ms`, `s`, `events/s`, `MB` …"""
    bar: Bar
    figure: str = ""
    """The measured figure in words, as `4,210 orders/s`."""
    limit: str = ""
    """The limit beside it in words, as `19,800 bare requests/s`."""
    details: dict[str, Any] = field(default_factory=dict)
    """Whatever else was seen; goes into the JSON."""

    @property
    def value(self) -> float:
        """The median of the runs."""
        return median(self.judged)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "value": self.value, "holds": self.bar.holds(self.value)}

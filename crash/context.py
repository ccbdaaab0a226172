"""What all parts of a crash run have in hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from crash.client import Client
from crash.history import Recorder
from crash.tree import Tree

SHOWN = 5
"""Lines of each kind that are printed."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is to be run."""

    seed: int
    folder: Path
    """For what is kept; exists."""
    again: str
    """The command that runs the same once more."""


@dataclass
class Findings:
    """What was found wrong, each as one line with the way to see it again."""

    plan: Plan
    lines: dict[str, list[str]] = field(default_factory=dict)
    """By what is wrong."""
    undecided: list[str] = field(default_factory=list)
    """What could not be found out."""

    def add(self, what: str, text: str) -> None:
        """Takes down one finding."""
        self.lines.setdefault(what, []).append(f"FOUND {what}: {text} | again: {self.plan.again}")

    def all(self) -> list[str]:
        """Every line."""
        return [line for lines in self.lines.values() for line in lines]

    def some(self) -> list[str]:
        """A few lines of each kind: one fault of the house may show in a thousand orders."""
        return [line for lines in self.lines.values() for line in lines[:SHOWN]]


@dataclass(frozen=True)
class Run:
    """A run that has begun."""

    plan: Plan
    tree: Tree
    client: Client
    recorder: Recorder
    findings: Findings
    say: Say

"""What `stagedoor verify` finds: differences, counted, the first ones kept, and what it looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_KEPT = 50
"""Differences that are shown; a thousand more say nothing new."""


@dataclass(slots=True)
class Findings:
    """The result of one verification."""

    differences: list[str] = field(default_factory=list)
    """The first `MAX_KEPT`, each one line."""
    wrong: int = 0
    """How many there are in all."""
    events: int = 0
    aggregates: int = 0
    snapshots: int = 0
    rows: int = 0
    """Of read models, compared."""
    lagging: int = 0
    """Rows that do not show the newest events yet, as their model's position says: no difference."""
    notes: list[str] = field(default_factory=list)
    """What is worth saying and is not wrong."""

    def add(self, difference: str) -> None:
        """Takes down something wrong."""
        self.wrong += 1
        if len(self.differences) < MAX_KEPT:
            self.differences.append(difference)

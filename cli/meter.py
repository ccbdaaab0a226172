"""How far a long task is: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

LINE_EVERY_SECONDS = 5.0
PLAIN_WIDTH = 120
"""Columns where the output is not a terminal: rich would take 80 and cut the tables."""

RATE_SAMPLE_SECONDS = 0.5
RATE_SAMPLES = 20
"""The rate is that of the last ten seconds: it follows a change soon, and one slow step does not upset it."""

MINUTE, HOUR = 60, 3600
"""In seconds."""


def console(*, stderr: bool = False) -> Console:
    """A console for standard output or standard error that keeps tables whole in files and pipes."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


class Rate:
    """How fast something goes, and how long the rest will take. What was done before the first note does not count."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=RATE_SAMPLES)
        self._last = (0.0, 0.0)

    def note(self, done: float) -> None:
        """`done` units are done in all, by now."""
        self._last = (time.monotonic(), done)
        if not self._samples or self._last[0] - self._samples[-1][0] >= RATE_SAMPLE_SECONDS:
            self._samples.append(self._last)

    def shown(self, total: float | None) -> str:
        """`57,000/s, 12 s left`; empty as long as there is nothing to tell it from."""
        (now, done), (since, before) = self._last, self._samples[0] if self._samples else self._last
        if now <= since or done <= before:
            return ""
        rate = (done - before) / (now - since)
        left = "" if total is None or done >= total else f", {duration((total - done) / rate)} left"
        return f"{rate:,.0f}/s{left}"


def duration(seconds: float) -> str:
    """`12 s`, `3 min` or `2 h 5 min`."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:.0f} min"


class Meter:
    """One phase of `total` units (None: not known before), used with `with`. The last state is always shown.

    Args:
        rated: show behind the bar how many units a second are done, and how long the rest takes.
    """

    def __init__(self, target: Console, title: str, total: float | None, *, rated: bool = False) -> None:
        self._console = target
        self._title = title
        self._total = total
        self._done = 0.0
        self._note = ""
        self._rate = Rate() if rated else None
        self._shown_at = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                console=self._console,
            )
            self._bar.add_task(self._title, total=self._total, note="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            self._line()

    def advance(self, done: float = 1, note: str = "") -> None:
        """`done` more units are done; `note` replaces what stands behind the bar."""
        self.to(self._done + done, note)

    def to(self, done: float, note: str = "", total: float | None = None) -> None:
        """`done` units are done in all; `total` replaces how many there are."""
        self._total = self._total if total is None else total
        if self._rate is not None:
            self._rate.note(done)
            note = ", ".join(filter(None, (self._rate.shown(self._total), note)))
        self._done, self._note = done, note
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=self._total, note=note)
        elif time.monotonic() - self._shown_at >= LINE_EVERY_SECONDS:
            self._line()

    def say(self, line: str) -> None:
        """Writes a line, on a terminal above the bar."""
        self._console.print(line, markup=False, soft_wrap=True)

    def _line(self) -> None:
        self._shown_at = time.monotonic()
        note = f", {self._note}" if self._note else ""
        total = "" if self._total is None else f" of {self._total:,.0f}"
        self._console.print(f"{self._title}: {self._done:,.0f}{total}{note}", markup=False, soft_wrap=True)

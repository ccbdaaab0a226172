"""How far a long task is: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

LINE_EVERY_SECONDS = 5.0
PLAIN_WIDTH = 120
"""Columns where the output is not a terminal: rich would take 80 and cut the tables."""


def console(*, stderr: bool = False) -> Console:
    """A console for standard output or standard error that keeps tables whole in files and pipes."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH)


class Meter:
    """One phase of `total` units (None: not known before), used with `with`. The last state is always shown."""

    def __init__(self, target: Console, title: str, total: float | None) -> None:
        self._console = target
        self._title = title
        self._total = total
        self._done = 0.0
        self._note = ""
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

    def to(self, done: float, note: str = "") -> None:
        """`done` units are done in all."""
        self._done, self._note = done, note
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, note=note)
        elif time.monotonic() - self._shown_at >= LINE_EVERY_SECONDS:
            self._line()

    def _line(self) -> None:
        self._shown_at = time.monotonic()
        note = f", {self._note}" if self._note else ""
        total = "" if self._total is None else f" of {self._total:,.0f}"
        self._console.print(f"{self._title}: {self._done:,.0f}{total}{note}", markup=False, soft_wrap=True)

"""How the starting of servers speaks, waits and hears a stop."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypeVar

T = TypeVar("T")

FIRST_PROGRESS_SECONDS = 2.0
"""Whatever takes longer than this says so."""

PROGRESS_EVERY_SECONDS = 5.0

POLL_SECONDS = 0.1

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What an error of the system says of a full disk."""


class StopRequestedError(BaseException):
    """Somebody asked for the end while something was being waited for. Not an `Exception`: nothing may swallow it."""


class PartFailedError(Exception):
    """A part did not start or did not stay up; the text is one line that names the log to read."""


@dataclass
class Console:
    """Speaks in lines on `stream`; every wait goes through `pause`, so that a stop is heard within `POLL_SECONDS`."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    stop_requested: bool = False
    """Set by a signal handler; the next `pause` raises."""

    def say(self, line: str) -> None:
        """Writes one line at once. Neither a reader that went away (`stagedoor up | head`) nor a full disk
        (`stagedoor up > log`) stops the servers."""
        try:
            print(line, file=self.stream, flush=True)
        except (BrokenPipeError, ValueError):
            self.stream = Path("/dev/null").open("w")  # noqa: SIM115 - lives as long as the process
        except OSError as error:
            if error.errno not in FULL:
                raise

    def pause(self, seconds: float) -> None:
        """Sleeps.

        Raises:
            StopRequestedError: a stop was asked for before or while sleeping.
        """
        end = time.monotonic() + seconds
        while not self.stop_requested:
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, POLL_SECONDS))
        raise StopRequestedError


class Progress:
    """Says how long something has been going on: after two seconds for the first time, then every five."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._next_seconds = FIRST_PROGRESS_SECONDS

    @property
    def seconds(self) -> float:
        """Since this was made."""
        return time.monotonic() - self._began

    def tell(self, what: str) -> None:
        """Says `what` and the time so far, if it is time to say something."""
        if self.seconds >= self._next_seconds:
            self._console.say(f"  {what}: {self.seconds:.0f} s")
            self._next_seconds = self.seconds + PROGRESS_EVERY_SECONDS


def wait_until(console: Console, what: str, limit_seconds: float, attempt: Callable[[], T | None]) -> T:
    """Calls `attempt` until it returns something, every `POLL_SECONDS`, and says `what` while it takes long.

    Raises:
        PartFailedError: after `limit_seconds`.
        StopRequestedError: a stop was asked for.
    """
    progress = Progress(console)
    while True:
        result = attempt()
        if result is not None:
            return result
        if progress.seconds > limit_seconds:
            raise PartFailedError(f"{what}: gave up after {limit_seconds:.0f} s")
        progress.tell(what)
        console.pause(POLL_SECONDS)


def shown(path: Path) -> str:
    """A path as a person would type it: relative to the working folder when it is inside."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)

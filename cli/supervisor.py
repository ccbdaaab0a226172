"""Starts the parts of `stagedoor up` as child processes, keeps them running and ends them in order.

One thread and no queue: everything happens in `start`, `run_once`, `tick` and `stop`, called from the main thread. (The
kernel ties a child to the *thread* that started it, so a second thread would not do.) Every child has a session of its
own, so that Ctrl-C in a terminal reaches the supervisor alone and the order of stopping holds.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cli.embedded import tether
from cli.embedded.console import FULL, POLL_SECONDS, Console, PartFailedError, Progress, shown

FIRST_BACKOFF_SECONDS = 0.2
LAST_BACKOFF_SECONDS = 10.0
"""Not longer: a worker that waits for Kafka should be back soon after Kafka is."""

DEATHS_WINDOW_SECONDS = 60.0
MAX_DEATHS = 6
"""So many deaths within the window are a fault that restarting does not cure soon. The waits before add up to 6 s."""

PROVEN_SECONDS = 10.0
"""Who has run for so long, or was ready once, is set up rightly: what ends it later may pass, as a full disk does."""

LEAST_FREE_BYTES = 16 * 1024 * 1024
"""A piece of PostgreSQL's write-ahead log; with less it does not start."""

LOG_ROTATE_BYTES = 10 * 1024 * 1024
KILL_WAIT_SECONDS = 5.0
"""SIGKILL cannot be refused; a process that is still there after this sits in the kernel, beyond anybody's reach."""


class PartDiedError(Exception):
    """A part ended while it was expected to become ready."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One child process: how to start it, how to tell that it is ready, how to end it."""

    name: str
    """Unique; names the log file."""
    command: Callable[[], Sequence[str]]
    """Called before every start; may prepare files."""
    environment: Callable[[], Mapping[str, str]] = dict
    """Variables over this process's own; called before every start, so that a restart sees new addresses."""
    group: str = ""
    """Neighbours of one group are stopped together; by default a part is its own group."""
    title: Callable[[], str] = str
    """What the start line adds to the name."""
    ready: Callable[[Child], None] | None = None
    """Waits until the part does its work; calls `child.check()` meanwhile."""
    working_dir: Path | None = None
    user: str | None = None
    nice: int = 0
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends when the supervisor itself is killed. SIGKILL by default: it cannot hang, it frees ports at
    once, and every part survives it."""
    stop_seconds: float = 15.0
    required: bool = True
    """Whether never coming up ends the supervisor. Otherwise, and once it was up, it is tried for ever,
    `LAST_BACKOFF_SECONDS` apart."""
    dependents: tuple[str, ...] = ()
    """Parts to restart after this one was restarted."""


@dataclass
class Child:
    """A part and its present process."""

    part: Part
    log: Path
    process: subprocess.Popen[bytes]
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_DEATHS))
    """When it died, within the window (monotonic seconds)."""
    restart_at: float | None = None
    """Set while it is dead and waits for its restart (monotonic seconds)."""
    started_at: float = field(default_factory=time.monotonic)
    """The present process (monotonic seconds)."""
    proven: bool = False
    """It has shown that it can run."""
    keeps_dying: bool = False
    """It died `MAX_DEATHS` times and has not come up since."""
    told: str | None = None
    """What was said of its death; None: it came up since."""

    def came_up(self) -> None:
        """It runs, and what was said of its death is over."""
        self.restart_at, self.keeps_dying, self.told = None, False, None

    def check(self) -> None:
        """Raises `PartDiedError` if the process has ended."""
        if self.process.poll() is not None:
            raise PartDiedError(f"{self.part.name} {how_it_ended(self.process.returncode)}")


def how_it_ended(code: int) -> str:
    """`ended with exit code 1`, `was ended by SIGKILL`."""
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def stagedoor_command(*arguments: str) -> list[str]:
    """Runs another `stagedoor` command with this Python, its output unbuffered. With `-P`, a folder called `cli` where
    the user stands is not taken for ours."""
    return [sys.executable, "-u", "-P", "-m", "cli.main", *arguments]


def _import_path() -> dict[str, str]:
    """What lets a child find these packages in a source folder; installed ones are found anyway."""
    root = Path(__file__).resolve().parents[1]
    if not (root / "pyproject.toml").exists():
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))}


class Supervisor:
    """Owns the children. `on_change` is told the process ids by name after every change."""

    def __init__(
        self, console: Console, logs_dir: Path, on_change: Callable[[dict[str, int]], None] = lambda _pids: None
    ) -> None:
        self._console = console
        self._logs_dir = logs_dir
        self._on_change = on_change
        self._children: dict[str, Child] = {}
        self._is_change_untold = False

    def pids(self) -> dict[str, int]:
        """The process ids of the parts that run now."""
        return {name: child.process.pid for name, child in self._children.items() if child.restart_at is None}

    def start(self, part: Part) -> None:
        """Starts a part, waits until it is ready and says so; tries again if it dies.

        Raises:
            PartFailedError: it died too often, or was not ready in time.
            StopRequestedError: a stop was asked for.
        """
        progress = Progress(self._console)
        child = self._children[part.name] = self._spawn(part)
        while not self._became_ready(child):
            self._console.pause(self._note_death(child))
            self._respawn(child)
        child.came_up()
        title = part.title()
        self._console.say(
            f"{part.name:<9} {title + ', ' if title else ''}started in {progress.seconds:.1f} s, log {shown(child.log)}"
        )
        self._tell_change()

    def run_once(self, part: Part, limit_seconds: float, progress: Callable[[], str]) -> int:
        """Runs a part to its end and returns its exit code; `progress` is said while it takes long.

        Raises:
            PartFailedError: it did not end within `limit_seconds`.
            StopRequestedError: a stop was asked for.
        """
        child, shower = self._spawn(part), Progress(self._console)
        try:
            while child.process.poll() is None:
                if shower.seconds > limit_seconds:
                    raise PartFailedError(f"{part.name} took over {limit_seconds:.0f} s; log: {shown(child.log)}")
                shower.tell(progress())
                self._console.pause(POLL_SECONDS)
            return child.process.returncode
        finally:
            if child.process.poll() is None:
                _kill(child)

    def last_words(self, name: str) -> str:
        """The last line in the log of the part called `name`, or an empty string."""
        return last_line(self.log_of(name))

    def log_of(self, name: str) -> Path:
        """Where the part called `name` writes."""
        return self._logs_dir / f"{name}.log"

    def tick(self) -> None:
        """Looks once after every child: notes who died, restarts whose time has come. Call it every `POLL_SECONDS`.

        Raises:
            PartFailedError: a required part never came up.
        """
        for child in list(self._children.values()):
            if child.restart_at is None:
                if child.process.poll() is not None:
                    child.restart_at = time.monotonic() + self._note_death(child)
                    self._tell_change()
                elif time.monotonic() > child.started_at + PROVEN_SECONDS:
                    self._note_it_lives(child)
            elif time.monotonic() >= child.restart_at:
                self._restart(child)
        if self._is_change_untold:
            self._tell_change()

    def stop(self) -> None:
        """Ends every child, the last started first, each group within its bounded time. Never raises."""
        groups: dict[str, list[Child]] = {}
        for child in self._children.values():
            groups.setdefault(child.part.group or child.part.name, []).append(child)
        for group in reversed(groups.values()):
            self._end(group)
        self._children.clear()

    def _spawn(self, part: Part) -> Child:
        self._logs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self.log_of(part.name)
        if log.exists() and log.stat().st_size > LOG_ROTATE_BYTES:
            log.replace(log.with_suffix(".log.1"))
        leash = [str(os.getpid()), str(int(part.orphan_signal)), str(part.nice), part.user or "-"]
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - the commands are our own
                [sys.executable, "-I", "-S", tether.__file__, *leash, *part.command()],
                env={**os.environ, **_import_path(), **part.environment()},
                cwd=part.working_dir,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                umask=0o077,  # what a part writes is its owner's alone, however careless the shell is
                start_new_session=True,
            )
        return Child(part=part, log=log, process=process)

    def _respawn(self, child: Child) -> None:
        fresh = self._spawn(child.part)
        child.process, child.started_at = fresh.process, fresh.started_at

    def _became_ready(self, child: Child) -> bool:
        try:
            if child.part.ready is not None:
                child.part.ready(child)
                child.proven = True
        except PartDiedError:
            return False
        except PartFailedError as error:
            raise PartFailedError(f"{error}; log: {shown(child.log)}") from error
        return True

    def _note_death(self, child: Child) -> float:
        """Says that a child died, if that is news; returns how many seconds to wait before its restart.

        Raises:
            PartFailedError: it is required, and never came up.
        """
        now = time.monotonic()
        while child.deaths and child.deaths[0] < now - DEATHS_WINDOW_SECONDS:
            child.deaths.popleft()
        child.deaths.append(now)
        ending = how_it_ended(child.process.returncode)
        child.keeps_dying = child.keeps_dying or len(child.deaths) == MAX_DEATHS
        if child.keeps_dying:
            self._say_it_keeps_dying(child, ending)
            return LAST_BACKOFF_SECONDS
        wait_seconds = min(FIRST_BACKOFF_SECONDS * 2.0 ** (len(child.deaths) - 1), LAST_BACKOFF_SECONDS)
        if child.told != ending:
            child.told = ending
            again = f"restart in {wait_seconds:.1f} s, log {shown(child.log)}"
            self._console.say(f"{child.part.name} {ending}; {again}")
        return wait_seconds

    def _say_it_keeps_dying(self, child: Child, ending: str) -> None:
        """Once for each reason.

        Raises:
            PartFailedError: it is required, and never came up.
        """
        name, is_disk_full = child.part.name, self._is_disk_full()
        why = f"last it wrote {last_line(child.log)!r}"
        if is_disk_full:
            why = f"the disk of {shown(self._logs_dir)} is full"
        if child.part.required and not child.proven:
            times = f"{MAX_DEATHS} deaths within {DEATHS_WINDOW_SECONDS:.0f} s"
            raise PartFailedError(f"{name} {ending}, {times}, {why}; log: {shown(child.log)}")
        news = f"{ending} again and again {is_disk_full}"
        if child.told != news:
            child.told = news
            until = f"tried every {LAST_BACKOFF_SECONDS:.0f} s until it stays up"
            self._console.say(f"{name} {ending} again and again, {why}; {until}, log {shown(child.log)}")

    def _is_disk_full(self) -> bool:
        with suppress(OSError):
            return shutil.disk_usage(self._logs_dir).free < LEAST_FREE_BYTES
        return False

    def _tell_change(self) -> None:
        """Tells the process ids; what cannot be written down now, on a full disk, is told by a later `tick`."""
        try:
            self._on_change(self.pids())
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._is_change_untold = True
        else:
            self._is_change_untold = False

    def _restart(self, child: Child) -> None:
        self._respawn(child)
        if not self._became_ready(child):
            child.restart_at = time.monotonic() + self._note_death(child)
            return
        child.restart_at = None
        for name in child.part.dependents:
            dependent = self._children.get(name)
            if dependent is not None:
                self._end([dependent])
                self._respawn(dependent)
                dependent.restart_at = None
        if child.part.ready is not None or not child.keeps_dying:
            again = ", ".join((child.part.name, *(n for n in child.part.dependents if n in self._children)))
            self._console.say(f"{again} restarted")
            child.came_up()
        self._tell_change()

    def _note_it_lives(self, child: Child) -> None:
        child.proven = True
        if child.keeps_dying:
            self._console.say(f"{child.part.name} stays up again")
            child.came_up()

    def _end(self, group: list[Child]) -> None:
        running = [child for child in group if child.process.poll() is None]
        for child in running:
            child.process.send_signal(child.part.stop_signal)
        progress = Progress(self._console)
        while any(child.process.poll() is None for child in running):
            progress.tell(f"waiting for {', '.join(c.part.name for c in running if c.process.poll() is None)} to end")
            for child in running:
                if progress.seconds > child.part.stop_seconds and child.process.poll() is None:
                    self._console.say(f"{child.part.name} did not end within {child.part.stop_seconds:.0f} s: killed")
                    _kill(child)
            if progress.seconds > max(child.part.stop_seconds for child in running) + KILL_WAIT_SECONDS:
                return
            time.sleep(0.02)


def _kill(child: Child) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.process.wait(KILL_WAIT_SECONDS)


def last_line(log: Path) -> str:
    """The last line in a file that is not empty, at most 500 characters."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1].strip()[-500:] if lines else ""

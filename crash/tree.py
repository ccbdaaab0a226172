"""A whole `stagedoor up` that may be killed and started again, as an operator would."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from cli import running
from cli.embedded.ports import free_port
from cli.supervisor import last_line

START_SECONDS = 240.0
"""With the jars of Apache Kafka to fetch, and the log of PostgreSQL to be replayed."""

STOP_SECONDS = 90.0
DIE_SECONDS = 20.0
"""The processes that PostgreSQL's main process leaves behind notice its end within seconds."""

LOOK_SECONDS = 0.1
COMMAND_SECONDS = 600.0

OUTSIDE = (
    "DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE",
)  # fmt: skip
"""Settings that would put somebody's own servers in the place of the embedded parts: those are not to be killed."""


class Tree:
    """One data folder and the `stagedoor up` on it."""

    def __init__(self, output: Path, **settings: str) -> None:
        """Writes what it says to the file `output`; `settings` are variables of its environment."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.data_dir = Path(tempfile.mkdtemp(prefix="stagedoor-crash-"))
        self._output = output
        self._environment = {
            **os.environ,
            **dict.fromkeys(OUTSIDE, ""),
            "STAGEDOOR_DATA_DIR": str(self.data_dir),
            "STAGEDOOR_PORT": str(port),
            "STAGEDOOR_RATE_LIMIT": "off",
            "STAGEDOOR_MAX_HELD_PER_BUYER": "0",  # the history is judged by the rules of a single listing alone
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it has said that it is ready.

        Raises:
            RuntimeError: it ended before, or took longer than `START_SECONDS`.
        """
        said_before = self._output.stat().st_size if self._output.exists() else 0
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", "up"], env=self._environment, stdout=output, stderr=output
            )
        give_up_at = time.monotonic() + START_SECONDS
        while b"Stagedoor is ready" not in self._output.read_bytes()[said_before:]:
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"`stagedoor up` did not start: {self.last_words()}")
            time.sleep(LOOK_SECONDS)

    def lives(self) -> bool:
        """Whether `stagedoor up` itself runs."""
        return self._process is not None and self._process.poll() is None

    def last_words(self) -> str:
        """The last line it said."""
        return last_line(self._output)

    def found(self) -> running.Running:
        """Addresses and process ids.

        Raises:
            RuntimeError: nothing is running.
        """
        found = running.read(self.data_dir)
        if found is None:
            raise RuntimeError("no `stagedoor up` is running")
        return found

    def signal(self, part: str, number: signal.Signals) -> int | None:
        """Sends a signal to a part; its process id, None if it is down just now."""
        found = running.read(self.data_dir)
        pid = None if found is None else found.parts.get(part)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
                return pid
        return None

    def kill(self) -> None:
        """SIGKILL to the supervisor and every part at once, as a power cut would.

        Raises:
            RuntimeError: a part is still there after `DIE_SECONDS`.
        """
        assert self._process is not None
        found = running.read(self.data_dir)
        parts = {} if found is None else found.parts
        for pid in (self._process.pid, *parts.values()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        give_up_at = time.monotonic() + DIE_SECONDS
        while left := [name for name, pid in parts.items() if running.is_alive(pid)]:
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"{', '.join(left)} survived SIGKILL")
            time.sleep(LOOK_SECONDS)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs another `stagedoor` command beside it."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def stop(self) -> int | None:
        """Asks it to end; its exit code, None if it ran no more or had to be killed."""
        if self._process is None or self._process.poll() is not None:
            return None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None

    def keep_logs(self, folder: Path) -> None:
        """Copies the logs of the parts."""
        if (logs := self.data_dir / "logs").is_dir():
            shutil.copytree(logs, folder, dirs_exist_ok=True)

    def remove(self) -> None:
        """Removes all its data."""
        shutil.rmtree(self.data_dir, ignore_errors=True)

"""The test stand: a whole `stagedoor up` on embedded parts, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, LiteralString, cast
from urllib.request import Request, urlopen

import psycopg

from adapters.settings import MAX_HELD_PER_BUYER
from cli import running
from cli.embedded.ports import free_port
from projections.models import MODELS
from projections.positions import PROGRESS_QUERY, progress_of

STOP_SECONDS = 60.0
CATCH_UP_SECONDS = 600.0
"""A million events at the least rate that a rebuild may have, and ten times that."""

LOOK_SECONDS = 0.05
REQUEST_SECONDS = 10.0
_LOG_END = "SELECT COALESCE(max(notification_id), 0) FROM stored_events"
_TICKS = os.sysconf("SC_CLK_TCK")
_OUTSIDE = (
    "DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE",
)  # fmt: skip
"""Settings that would put somebody's own servers, with their data, in the place of the embedded parts."""


@dataclass(frozen=True)
class Stand:
    """A running marketplace."""

    url: str
    database_url: str
    data_dir: Path

    def parts(self) -> dict[str, int]:
        """Process ids by part: `postgres`, `broker`, `relay`, `worker`, `api` or `api-0` …"""
        found = running.read(self.data_dir)
        assert found is not None, "the marketplace has ended"
        return found.parts

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time used so far, by part, with all its child processes."""
        return {name: _cpu_seconds(pid) for name, pid in self.parts().items()}

    def memory_bytes(self, part: str) -> int:
        """What a part has resident."""
        pages = int(Path(f"/proc/{self.parts()[part]}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def await_read_models(self, limit_seconds: float = CATCH_UP_SECONDS) -> float:
        """Waits until the read models show all that is in the log now; how long that took, in seconds.

        Raises:
            RuntimeError: not within the limit.
        """
        began = time.monotonic()
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            [(end,)] = _rows(connection, _LOG_END)
            while (waited := time.monotonic() - began) < limit_seconds:
                progress = progress_of(_rows(connection, PROGRESS_QUERY))
                if progress.relay.position >= end and not any(map(progress.behind, MODELS)):
                    return waited
                time.sleep(LOOK_SECONDS)
        raise RuntimeError(f"the read models are not at position {end} after {limit_seconds:.0f} s: {progress}")

    def await_webhooks(self, limit_seconds: float = CATCH_UP_SECONDS) -> float:
        """Waits until the sandbox has delivered all webhooks; how long that took, in seconds.

        Raises:
            RuntimeError: not within the limit, or it has given one up.
        """
        found = running.read(self.data_dir)
        assert found is not None, "the marketplace has ended"
        asking = {"Authorization": f"Bearer {found.stripe_secret_key}"}
        state = Request(f"{found.stripe_api_base}/_sandbox/state", headers=asking)
        began = time.monotonic()
        while (waited := time.monotonic() - began) < limit_seconds:
            with urlopen(state, timeout=REQUEST_SECONDS) as answer:
                webhooks = json.load(answer)["webhooks"]
            if webhooks["given_up"]:
                break
            if not webhooks["pending"]:
                return waited
            time.sleep(LOOK_SECONDS)
        raise RuntimeError(f"the webhooks are not delivered after {waited:.0f} s: {webhooks}")


@contextmanager
def stand(*, api_processes: int = 1, **environment: str) -> Iterator[Stand]:
    """A fresh marketplace for the `with` block; its data is removed afterwards.

    Args:
        environment: more settings, as `STAGEDOOR_HOLD_SECONDS="30"`.

    Raises:
        RuntimeError: it did not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="stagedoor-bench-"))
    port = free_port()
    settings = {
        "STAGEDOOR_DATA_DIR": str(folder),
        "STAGEDOOR_PORT": str(port),
        "STAGEDOOR_RATE_LIMIT": "off",
        "STAGEDOOR_MAX_HELD_PER_BUYER": str(MAX_HELD_PER_BUYER),  # looked at for every order, and never reached
        "STAGEDOOR_API_PROCESSES": str(api_processes),
        **dict.fromkeys(_OUTSIDE, ""),
        **environment,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "up"], env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True
    )
    try:
        said = []
        for line in cast("IO[str]", process.stdout):
            said.append(line)
            if line.startswith("Stagedoor is ready"):
                break
        else:
            raise RuntimeError(f"the marketplace did not start: {''.join(said)}")
        found = running.read(folder)
        assert found is not None
        yield Stand(found.url, found.database_url, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        finally:  # also when somebody loses patience meanwhile
            process.kill()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def _rows(connection: psycopg.Connection[Any], query: LiteralString) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


def _cpu_seconds(pid: int) -> float:
    """Of a process and its living and ended children, from /proc."""
    total = 0.0
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total = sum(int(ticks) for ticks in fields[11:15]) / _TICKS
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += sum(_cpu_seconds(int(child)) for child in (task / "children").read_text().split())
    return total

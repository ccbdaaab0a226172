"""Stands in for the container engine: runs the services of compose.yaml as processes of this machine.

Each service gets a loopback address of its own, as a container gets one of its network, so that the ports stay those
of the file. In commands and variables `0.0.0.0` and `127.0.0.1` become that address, `name:port` becomes the other
service's, and folders inside a container become folders of the test. Nothing else is changed, and no variable of this
machine is passed on but PATH. Linux only: elsewhere 127.0.0.0/8 is not all loopback.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from tests.docker.compose_file import Service, seconds

POLL_SECONDS = 0.1


class Container(ABC):
    """One service as a process."""

    stop_signal = signal.SIGTERM

    def __init__(self, service: Service, address: str, folder: Path) -> None:
        self.service = service
        self.address = address
        self.folder = folder
        self.environment: dict[str, str] = {}
        """What the image gives every process; the engine adds what the file says."""
        self.command = service.command
        self.process: subprocess.Popen[bytes] | None = None
        self.most_memory_bytes = 0

    @abstractmethod
    def prepare(self) -> None:
        """What an image's entry point does before it becomes the server."""

    @abstractmethod
    def words(self) -> list[str]:
        """The command as it runs here."""

    @abstractmethod
    def check_words(self, check: list[str]) -> list[str]:
        """The health check's command as it runs here; the words are the file's, addresses replaced."""

    @property
    def log(self) -> Path:
        """Everything it printed."""
        return self.folder / "log"

    def popen(self, words: list[str]) -> subprocess.Popen[bytes]:
        """Starts a process in its environment, both outputs into its log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(words, env=self.environment, cwd=self.folder, stdout=log, stderr=log)

    def run(self, words: list[str], timeout_seconds: float) -> int:
        """Runs a command in its environment to its end; returns the exit code."""
        process = self.popen(words)
        try:
            return process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return 124

    def note_memory(self) -> None:
        """Remembers the most memory the process and its children held."""
        if self.process is not None:
            held = sum(_resident_bytes(pid) for pid in _family(self.process.pid))
            self.most_memory_bytes = max(self.most_memory_bytes, held)


class Engine:
    """`up` and `stop` as `docker compose` does them."""

    def __init__(self, containers: Mapping[str, Container]) -> None:
        self.containers = containers
        for container in containers.values():
            given = {**container.environment, **container.service.environment}
            container.environment = {"PATH": os.environ["PATH"]} | {
                key: containers[value].address
                if key == "STAGEDOOR_HOST" and value in containers
                else self.place(container, value)
                for key, value in given.items()
            }
            container.command = [self.place(container, word) for word in container.command]

    def place(self, container: Container, text: str) -> str:
        """A text of the file with the addresses of this run."""
        text = re.sub(r"(?<![\d.])(?:0\.0\.0\.0|127\.0\.0\.1)(?![\d.])", container.address, text)
        for name, other in self.containers.items():
            text = re.sub(rf"(?<![\w.-]){name}(?=:\d)", other.address, text)
        return text

    def up(self, name: str) -> None:
        """Starts a service after what it depends on, each as far as its condition says."""
        container = self.containers[name]
        for other, condition in container.service.dependencies.items():
            if self.containers[other].process is None:
                self.up(other)
            if condition == "service_healthy":
                self.wait_until_healthy(other)
            elif condition == "service_completed_successfully":
                self.wait_until_done(other)
        container.prepare()
        container.process = container.popen(container.words())

    def wait_until_healthy(self, name: str) -> None:
        """Runs the health check as often as the file says, until it is well or its starting time is over."""
        container = self.containers[name]
        check = container.service.definition["healthcheck"]
        end = time.monotonic() + seconds(check["start_period"]) + check["retries"] * seconds(check["interval"])
        while not self.is_healthy(name):
            assert container.process is not None
            assert container.process.poll() is None, f"{name} ended: {container.log.read_text()[-3000:]}"
            assert time.monotonic() < end, f"{name} is not healthy: {container.log.read_text()[-3000:]}"
            time.sleep(seconds(check["start_interval"]))

    def is_healthy(self, name: str) -> bool:
        """One health check."""
        container = self.containers[name]
        words = container.service.health_check
        assert words is not None, f"{name} has no health check"
        container.note_memory()
        placed = container.check_words([self.place(container, word) for word in words])
        return container.run(placed, seconds(container.service.definition["healthcheck"]["timeout"])) == 0

    def wait_until_done(self, name: str, timeout_seconds: float = 120.0) -> None:
        """Waits for a service that ends."""
        container = self.containers[name]
        assert container.process is not None
        end = time.monotonic() + timeout_seconds
        while (code := container.process.poll()) is None:
            assert time.monotonic() < end, f"{name} does not end: {container.log.read_text()[-3000:]}"
            container.note_memory()
            time.sleep(POLL_SECONDS)
        assert code == 0, f"{name} ended with {code}: {container.log.read_text()[-3000:]}"

    def must_live(self) -> None:
        """Fails if a service that was started and does not end by itself has ended."""
        for name, container in self.containers.items():
            if container.process is not None and container.service.definition["restart"] != "no":
                code = container.process.poll()
                assert code is None, f"{name} ended with {code}: {container.log.read_text()[-3000:]}"

    def stop(self, name: str) -> int:
        """Ends a service as the engine would: the image's signal, its grace, then SIGKILL. Returns the exit code."""
        container = self.containers[name]
        process, container.process = container.process, None
        assert process is not None
        process.send_signal(container.stop_signal)
        try:
            return process.wait(container.service.stop_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def down(self) -> None:
        """Ends everything, last started first."""
        for name in reversed(list(self.containers)):
            if self.containers[name].process is not None:
                self.stop(name)


def addresses(count: int) -> list[str]:
    """Loopback addresses that another run at the same time will hardly draw too."""
    draw = random.SystemRandom()
    network = f"127.{draw.randint(1, 254)}.{draw.randint(1, 254)}"
    return [f"{network}.{number}" for number in range(1, count + 1)]


def _family(pid: int) -> list[int]:
    """A process and its children, without theirs."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return [pid, *(int(child) for child in children)]


def _resident_bytes(pid: int) -> int:
    """What it holds alone: memory shared with others counts at none of them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(kib) << 10 for kib in re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE))

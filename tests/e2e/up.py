"""A whole `stagedoor up` as a child process, and a plain HTTP client of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from cli.embedded.ports import free_port

START_WITHIN_SECONDS = 180.0
"""With the jars of Apache Kafka to fetch."""

STOP_WITHIN_SECONDS = 45.0


@dataclass
class Answer:
    status: int
    headers: Any
    body: Any


class Up:
    """One `stagedoor up` on a data folder; may be started, stopped and killed again and again."""

    def __init__(self, data_dir: Path, broker: str, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output: list[str] = []
        self.environment = {
            **os.environ,
            "STAGEDOOR_DATA_DIR": str(data_dir),
            "STAGEDOOR_PORT": str(self.port),
            "STAGEDOOR_BROKER": broker,
            "STAGEDOOR_RATE_LIMIT": "off",
            **environment,
        }
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns once the ready line is printed."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up"], env=self.environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        give_up_at = time.monotonic() + START_WITHIN_SECONDS
        for line in self._process.stdout:
            self.output.append(line.rstrip())
            if line.startswith("Stagedoor is ready: "):
                assert line.strip() == f"Stagedoor is ready: {self.url}"
                return
            assert time.monotonic() < give_up_at, self.output
        raise AssertionError(f"ended before it was ready: {self.output}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to end; returns its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(STOP_WITHIN_SECONDS)
        assert self._process.stdout is not None
        self.output += self._process.stdout.read().splitlines()
        return code

    def ensure_ended(self) -> None:
        """For the end of a test, however it went."""
        if self._process is not None and self._process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def kill_the_whole_tree(self) -> None:
        """SIGKILL to the supervisor and every part at once, as a power cut would."""
        assert self._process is not None
        parts = self.parts()
        for pid in (self._process.pid, *parts.values()):
            _kill(pid, signal.SIGKILL)
        self._process.wait()
        eventually(lambda: all(not _lives(pid) for pid in parts.values()), bool, 15)

    def signal_part(self, name: str, number: int) -> None:
        for part, pid in self.parts().items():
            if part.startswith(name):
                _kill(pid, number)

    def parts(self) -> dict[str, int]:
        """Process ids by part."""
        parts: dict[str, int] = json.loads((self.data_dir / "running.json").read_text())["parts"]
        return parts

    def bootstrap_servers(self) -> str:
        servers: str = json.loads((self.data_dir / "running.json").read_text())["kafka_bootstrap_servers"]
        return servers

    def command(self, *arguments: str, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Runs another `stagedoor` command on the same data folder."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    # As a client ----------------------------------------------------------------------------------------------------

    def call(
        self, method: str, path: str, body: Any = None, token: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request; never raises on a status."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                raw = answer.read()
                return Answer(answer.status, answer.headers, json.loads(raw) if raw else None)
        except urllib.error.HTTPError as error:
            raw = error.read()
            return Answer(error.code, error.headers, json.loads(raw) if raw else None)

    def sign_up(self, name: str) -> str:
        """A new account's access token."""
        email = f"{name}-{uuid4().hex[:10]}@example.org"
        answer = self.call("POST", "/api/users/signup", {"email": email, "password": "correct horse", "name": name})
        assert answer.status == 201, answer
        token: str = answer.body["access_token"]
        return token

    def list_ticket(self, seller: str, **more: Any) -> str:
        starts = (datetime.now(UTC) + timedelta(days=30)).isoformat()
        body = {
            "title": "Semi-final, category 2",
            "event": {"name": "Semi-final", "starts_at": starts, "venue": "AT&T Stadium"},
            "price": {"amount": 2500, "currency": "EUR"},
            "quantity": 5,
            **more,
        }
        answer = self.call("POST", "/api/tickets", body, seller)
        assert answer.status == 201, answer
        ticket_id: str = answer.body["id"]
        return ticket_id

    def order(self, buyer: str, ticket_id: str, quantity: int = 1, key: str | None = None) -> Answer:
        headers = {"Idempotency-Key": key} if key else None
        return self.call(
            "POST", "/api/orders", {"items": [{"ticket_id": ticket_id, "quantity": quantity}]}, buyer, headers
        )

    def pay(self, buyer: str, order_id: str, method: str = "pm_card_visa") -> Answer:
        return self.call("POST", "/api/payments", {"order_id": order_id, "payment_method": method}, buyer)


def eventually(read: Callable[[], Any], good: Callable[[Any], Any], seconds: float = 20.0) -> Any:
    """Reads until good; fails with what it saw last."""
    give_up_at = time.monotonic() + seconds
    while True:
        seen = read()
        if good(seen):
            return seen
        assert time.monotonic() < give_up_at, seen
        time.sleep(0.1)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _lives(pid: int) -> bool:
    try:
        # A zombie whose parent has not looked yet is gone all the same.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

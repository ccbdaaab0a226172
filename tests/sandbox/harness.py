"""The real server in a process of its own, and a webhook endpoint in a thread."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
import stripe

from cli.embedded.ports import free_port

ROOT = Path(__file__).parents[2]
SECRET_KEY = "sk_test_sandbox"
PUBLISHABLE_KEY = "pk_test_sandbox"
WEBHOOK_SECRET = "whsec_sandbox"
START_SECONDS = 15.0

_PROGRAM = """
import json, pathlib, sys
from sandbox.server import run
settings = json.loads(sys.argv[1])
run(host="127.0.0.1", state_path=pathlib.Path(settings.pop("state_path")), **settings)
"""


def wait_until(is_true: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Polls, and fails the test when the time is up."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.02)


@dataclass
class Answer:
    """A raw HTTP answer, for what the SDK hides."""

    status: int
    headers: dict[str, str]
    body: Any


class Sandbox:
    """A running sandbox. The port and the state file stay the same over restarts."""

    def __init__(self, state_path: Path, webhook_url: str | None = None, **more: Any) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = {
            "port": self.port,
            "state_path": str(state_path),
            "secret_key": SECRET_KEY,
            "webhook_url": webhook_url,
            "webhook_secret": WEBHOOK_SECRET,
            **more,
        }
        self.stripe = stripe.StripeClient(SECRET_KEY, base_addresses={"api": self.url}, max_network_retries=0)
        self.intents = self.stripe.v1.payment_intents
        self.process = self.spawn()
        self._wait_for_start()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Another process with the same settings."""
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(self._settings)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
        )

    def _wait_for_start(self) -> None:
        def is_up() -> bool:
            assert self.process.poll() is None, "the sandbox did not start"
            try:
                return self.call("GET", "/healthz").status == 200
            except OSError:
                return False

        wait_until(is_up, "the sandbox answers", START_SECONDS)

    def restart(self) -> None:
        self.process = self.spawn()
        self._wait_for_start()

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing is said."""
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def _reap(self) -> int:
        self.process.communicate(timeout=10)
        return self.process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

    def call(
        self,
        method: str,
        path: str,
        form: dict[str, Any] | bytes | None = None,
        *,
        key: str | None = SECRET_KEY,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """A request as it is; raises OSError only when there is no answer."""
        data = form if isinstance(form, bytes) or form is None else urllib.parse.urlencode(form).encode()
        sent = {"Authorization": f"Bearer {key}"} if key is not None else {}
        request = urllib.request.Request(self.url + path, data, {**sent, **(headers or {})}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return _answer(answer.status, answer.headers.items(), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.headers.items(), error.read())

    def faults(self, **switches: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        answer = self.call("POST", "/_sandbox/faults", json.dumps(switches).encode(), headers=headers)
        assert answer.status == 200, answer.body
        return answer.body

    def state(self) -> Any:
        return self.call("GET", "/_sandbox/state").body

    def new_intent(self, amount: int = 2500, **more: Any) -> stripe.PaymentIntent:
        parameters: Any = {"amount": amount, "currency": "eur", "payment_method_types": ["card"], **more}
        return self.intents.create(parameters)

    def events_of(self, intent_id: str) -> list[str]:
        """The types of the newest events about an intent, its charges and refunds, oldest first."""
        newest = self.call("GET", "/v1/events?limit=100").body["data"]
        return [event["type"] for event in reversed(newest) if _is_about(event["data"]["object"], intent_id)]


def _answer(status: int, headers: Any, raw: bytes) -> Answer:
    try:
        body = json.loads(raw)
    except ValueError:
        body = raw.decode()
    return Answer(status, dict(headers), body)


def _is_about(subject: dict[str, Any], intent_id: str) -> bool:
    return intent_id in (subject["id"], subject.get("payment_intent"))


def error_of(raised: pytest.ExceptionInfo[stripe.StripeError]) -> Any:
    """The error object of the answer, of which the SDK's types leave every field optional."""
    assert raised.value.error is not None
    return raised.value.error


@dataclass
class Received:
    """One webhook request."""

    at: float
    signature: str
    body: bytes

    @property
    def event(self) -> Any:
        return json.loads(self.body)


@dataclass
class Endpoint:
    """A webhook endpoint. `statuses` are answered first, one a request, then always 200."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def types_of(self, intent_id: str) -> list[str]:
        """The types received about an intent, in the order of arrival."""
        events = [received.event for received in list(self.received)]
        return [event["type"] for event in events if _is_about(event["data"]["object"], intent_id)]

    def wait_for(self, intent_id: str, count: int, seconds: float = 10.0) -> list[str]:
        """Waits for this many webhooks about an intent and returns their types."""
        what = f"{count} webhooks about {intent_id}"
        wait_until(lambda: len(self.types_of(intent_id)) >= count, what, seconds)
        return self.types_of(intent_id)


@contextmanager
def listening(port: int = 0) -> Iterator[Endpoint]:
    """An endpoint on loopback, on a free port unless one is given."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            endpoint.received.append(Received(time.time(), self.headers["Stripe-Signature"], body))
            self.send_response(endpoint.statuses.pop(0) if endpoint.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/api/webhooks/stripe"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

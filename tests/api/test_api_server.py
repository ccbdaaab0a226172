"""A real API process: how it starts, what it takes of a connection, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from adapters.settings import Settings, SettingsError
from api.app import make_app
from api.problems import PROBLEMS
from cli.embedded.ports import free_port, listens
from tests.api.house import EVENT, PASSWORD, House, eventually, settings_of

ROOT = Path(__file__).parents[2]
SCRIPT = "from adapters.settings import Settings; from api.server import run; run(Settings.from_environment())"
START_SECONDS = 20.0


@contextmanager
def process(settings: Settings, script: str = SCRIPT) -> Iterator[subprocess.Popen[bytes]]:
    """An API process of its own, killed at the end if it has not ended by itself."""
    environment = os.environ | settings.as_environment() | {"PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def wait_until_listening(port: int, child: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        assert child.poll() is None, child.stderr.read() if child.stderr else b""
        if listens("127.0.0.1", port):
            return
        time.sleep(0.05)
    raise AssertionError("it does not listen")


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return settings_of(database_url, tmp_path, port=free_port(), stripe_api_base="http://127.0.0.1:1")


async def get(settings: Settings, path: str) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{settings.port}{path}") as answer,
    ):
        return answer.status, await answer.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_starts_answers_and_ends_cleanly(settings: Settings, number: signal.Signals) -> None:
    with process(settings) as child:
        wait_until_listening(settings.port, child)
        assert (await get(settings, "/readyz"))[0] == 200
        child.send_signal(number)
        assert child.wait(10) == 0
        assert child.stderr is not None
        lines = [msgspec.json.decode(line) for line in child.stderr.read().splitlines()]
    assert [line["message"].split()[0] for line in lines] == ["listening", "stopping"]


SLOW = """
import asyncio, sys
from adapters import passwords
real = passwords.Passwords.hash
async def slow(self, password):
    print("begun", file=sys.stderr, flush=True)
    await asyncio.sleep(3.0)
    return await real(self, password)
passwords.Passwords.hash = slow
"""


async def test_what_runs_is_finished_before_it_ends(settings: Settings) -> None:
    with process(settings, SLOW + SCRIPT) as child:
        wait_until_listening(settings.port, child)
        async with aiohttp.ClientSession() as session:
            body = {"email": "ann@example.org", "password": "correct horse", "name": "Ann"}
            running = asyncio.create_task(
                session.post(f"http://127.0.0.1:{settings.port}/api/users/signup", json=body).__aenter__()
            )
            assert child.stderr is not None
            while await asyncio.to_thread(child.stderr.readline) != b"begun\n":
                assert child.poll() is None
            child.terminate()

            async def is_closed() -> bool:
                return not listens("127.0.0.1", settings.port)

            assert await eventually(is_closed)
            assert not running.done()
            assert (await running).status == 201
        assert child.wait(10) == 0


DYING = """
import asyncio, os, signal
from domain.marketplace import Marketplace
real = Marketplace.place_order
async def place_and_die(*arguments):
    if {after_commit}:
        await real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
Marketplace.place_order = place_and_die
"""


@pytest.mark.parametrize("after_commit", [False, True])
async def test_killed_around_the_commit_the_same_key_orders_once(settings: Settings, after_commit: bool) -> None:
    """SIGKILL before or after the commit, before the answer: a retry gets an answer, and there is one effect."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{settings.port}/api/") as session:

        async def post(path: str, body: object, token: str = "", key: str = "") -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
            async with session.post(path, json=body, headers=headers) as answer:
                return answer.status, await answer.json(content_type=None)

        with process(settings, DYING.format(after_commit=after_commit) + SCRIPT) as child:
            wait_until_listening(settings.port, child)
            people = [{"email": f"{name}@example.org", "password": PASSWORD, "name": name} for name in ("ann", "ben")]
            seller, buyer = [(await post("users/signup", person))[1]["access_token"] for person in people]
            listing = {"title": "x", "event": EVENT, "price": {"amount": 1, "currency": "EUR"}, "quantity": 5}
            ticket = (await post("tickets", listing, seller))[1]
            order = {"items": [{"ticket_id": ticket["id"], "quantity": 2}]}
            with pytest.raises(aiohttp.ClientError):
                await post("orders", order, buyer, "k")
            assert child.wait(5) == -signal.SIGKILL
        with process(settings) as child:
            wait_until_listening(settings.port, child)
            answers = [await post("orders", order, buyer, "k") for _ in range(2)]
            assert answers[0][0] == 201
            assert answers[0] == answers[1]
            async with session.get(f"tickets/{ticket['id']}") as answer:
                seen = await answer.json()
            assert (seen["held"], seen["version"]) == (2, 2)


async def test_two_processes_share_the_port(settings: Settings) -> None:
    shared = replace(settings, api_processes=2)
    with process(shared) as one, process(shared) as two:
        for child in (one, two):
            assert child.stderr is not None
            assert b"listening" in child.stderr.readline()
        one.terminate()
        assert one.wait(10) == 0
        for _ in range(5):
            assert (await get(settings, "/healthz"))[0] == 200


def test_alone_a_port_in_use_is_an_error(settings: Settings) -> None:
    with socket.socket() as taken:
        # Even one that would share it: two houses must not answer on one port by accident.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", settings.port))
        taken.listen()
        with process(settings) as child:
            assert child.wait(START_SECONDS) == 1
            assert child.stderr is not None
            assert b"address already in use" in child.stderr.read().lower()


async def start(settings: Settings) -> None:
    """Starts the application in this process and takes it down again."""
    runner = web.AppRunner(make_app(settings))
    try:
        await runner.setup()
    finally:
        await runner.cleanup()


async def test_a_database_without_a_schema_is_said(server_url: str, settings: Settings) -> None:
    with pytest.raises(SettingsError, match="stagedoor migrate"):
        await start(replace(settings, database_url=server_url))


async def test_a_missing_setting_is_named(settings: Settings) -> None:
    await start(settings)
    for name in ("database_url", "stripe_secret_key", "stripe_webhook_secret"):
        with pytest.raises(SettingsError, match=name.upper()):
            await start(replace(settings, **{name: None}))  # type: ignore[arg-type]  # these three may be None


def exchange(port: int, sent: bytes, seconds: float = 5.0) -> bytes:
    """What comes back on a connection until it is closed."""
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.sendall(sent)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
        return received


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"NONSENSE\r\n\r\n", "bad_request"),
        (b"GET / HTTP/9.9\r\n\r\n", "bad_request"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n", "bad_request"),
        (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "uri_too_long"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 9_000 + b"\r\n\r\n", "headers_too_large"),
        (
            b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(100)) + b"\r\n",
            "headers_too_large",
        ),
        (b"POST /api/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "bad_request"),
    ],
)
def test_what_is_no_http_gets_problem_details_too(settings: Settings, sent: bytes, code: str) -> None:
    with process(settings) as child:
        wait_until_listening(settings.port, child)
        received = exchange(settings.port, sent)
        head, _, body = received.partition(b"\r\n\r\n")
        assert int(head.split()[1]) == PROBLEMS[code][0]
        assert b"application/problem+json" in head
        assert msgspec.json.decode(body)["code"] == code
        assert b"Traceback" not in received
        child.terminate()
        assert child.wait(10) == 0
        assert child.stderr is not None
        assert b"error" not in child.stderr.read()  # somebody's noise is not a fault of ours


async def test_a_connection_that_sends_nothing_is_closed(settings: Settings) -> None:
    quick = "import api.protocol; api.protocol.HEAD_SECONDS = 0.5\n"
    with process(settings, quick + SCRIPT) as child:
        wait_until_listening(settings.port, child)
        for sent in (b"", b"GET /healthz HTTP/1.1\r\nHost"):
            started = time.monotonic()
            assert exchange(settings.port, sent) == b""
            assert 0.3 < time.monotonic() - started < 3.0
        assert (await get(settings, "/healthz"))[0] == 200


async def test_the_last_request_of_a_connection_is_not_cut(house: House) -> None:
    """A connection may be used again and again."""
    for _ in range(3):
        assert (await house.call("GET", "//healthz")).status == 200

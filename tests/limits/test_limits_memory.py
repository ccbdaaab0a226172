"""A flood of everything at once: memory stays below a stated bound, and all is well afterwards."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest
from aiohttp.test_utils import unused_port

from adapters.settings import Settings
from tests.api.house import settings_of
from tests.api.test_api_server import SCRIPT, get, process, wait_until_listening

MAX_GROWTH_BYTES = 250 * 1024 * 1024
"""Over an idle process. Allowed for by the bounds: 128 MB of answers that nobody takes, 32 MB of bodies on their way,
and some ten kilobytes, with up to 32 of a body that nobody reads, for each of the connections."""

EACH = 400
FLOOD_SECONDS = 5.0

HOST = b" HTTP/1.1\r\nHost: x\r\n"
FLOODS: dict[str, tuple[bytes, bytes]] = {
    "silent": (b"", b""),
    "slow head": (b"GET /healthz" + HOST, b"X-A: b\r\n"),
    "slow body": (b"POST /api/users/signin" + HOST + b"Content-Length: 65000\r\n\r\n" + b" " * 60_000, b" "),
    "endless body": (b"GET /api/tickets?min_version" + HOST + b"Content-Length: 99999999999\r\n\r\n", b"x" * 60_000),
    "endless chunks": (b"POST /api/users/signin" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 999),
    "nobody reads": (b"", (b"GET /docs/swagger-ui-bundle.js" + HOST + b"\r\n") * 200),
    "nonsense": (b"", b"\0" * 10_000),
}
"""Sent first, and then again and again, on connections that are never read from; one that was cut is replaced."""


def memory_bytes(child: Popen[bytes]) -> int:
    pages = int(Path(f"/proc/{child.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _keep_at_it(port: int, first: bytes, again: bytes, ended: threading.Event) -> None:
    sockets: list[socket.socket] = []
    while not ended.is_set():
        for _ in range(min(20, EACH - len(sockets))):
            if ended.is_set():
                break
            made = socket.socket()
            made.settimeout(0.2)
            try:
                made.connect(("127.0.0.1", port))
                made.setblocking(False)
                made.send(first)
            except OSError:
                made.close()
            else:
                sockets.append(made)
        for one in list(sockets):
            try:
                one.send(again)
            except BlockingIOError:
                continue
            except OSError:
                one.close()
                sockets.remove(one)
        time.sleep(0.01)
    for one in sockets:
        one.close()


@contextmanager
def flood(port: int) -> Iterator[None]:
    ended = threading.Event()
    threads = [threading.Thread(target=_keep_at_it, args=(port, *what, ended)) for what in FLOODS.values()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.long
async def test_memory_stays_below_its_bound_in_a_flood(database_url: str, tmp_path: Path) -> None:
    settings: Settings = settings_of(database_url, tmp_path, port=unused_port(), stripe_api_base="http://127.0.0.1:1")
    with process(settings, "import api.protocol; api.protocol.HEAD_SECONDS = 3.0\n" + SCRIPT) as child:
        wait_until_listening(settings.port, child)
        for _ in range(20):
            assert (await get(settings, "/openapi.json"))[0] == 200
        before = peak = memory_bytes(child)
        with flood(settings.port):
            until = time.monotonic() + FLOOD_SECONDS
            while time.monotonic() < until:
                await asyncio.sleep(0.05)
                peak = max(peak, memory_bytes(child))
        assert peak - before < MAX_GROWTH_BYTES, f"{(peak - before) >> 20} MB more than before"
        assert child.poll() is None
        async with asyncio.timeout(20):
            assert (await get(settings, "/readyz"))[0] == 200
        child.terminate()
        assert child.wait(15) == 0

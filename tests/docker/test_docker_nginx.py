"""docker/nginx.conf in Debian's nginx, before a server that answers everything: slow clients do not get through."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.docker.nginx import MARKS, running_nginx

pytestmark = MARKS

LARGE = 30_000_000
"""Bytes; more than the kernel keeps for a client that does not read."""


class Upstream(BaseHTTPRequestHandler):
    """Answers 200 with the length of the body, or with a large one."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_POST(self) -> None:
        length = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        self.seen.append(self.path)
        answer = b"x" * LARGE if self.path == "/large" else str(length).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815 - the base class asks for this name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Says nothing."""


@pytest.fixture(scope="module")
def seen() -> list[str]:
    """The paths that came through."""
    Upstream.seen = []
    return Upstream.seen


@pytest.fixture(scope="module")
def port(seen: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """nginx with the project's file, before the upstream."""
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    upstream.daemon_threads = True
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with running_nginx(upstream.server_port, tmp_path_factory.mktemp("nginx")) as port:
        yield port
    upstream.shutdown()
    upstream.server_close()


def talk(port: int, first: bytes, drip: bytes, every_seconds: float, give_up_seconds: float) -> tuple[bytes, float]:
    """Sends, then goes on in pieces, until the other side closes; returns what it said and after how many seconds."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        start = time.monotonic()
        connection.sendall(first)
        connection.settimeout(every_seconds)
        said = b""
        while time.monotonic() - start < give_up_seconds:
            try:
                piece = connection.recv(4096)
                if not piece:
                    return said, time.monotonic() - start
                said += piece
            except TimeoutError:
                if drip:
                    connection.sendall(drip)
            except ConnectionError:
                return said, time.monotonic() - start
    raise AssertionError(f"still open after {give_up_seconds} s: {said!r}")


def left_alone(port: int, seconds: float) -> int:
    """How many bytes come in the end of a large answer that nobody reads for so long."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(request("/large"))
        time.sleep(seconds)
        received = 0
        try:
            while piece := connection.recv(1 << 20):
                received += len(piece)
        except ConnectionError:
            pass
        return received


def request(path: str, body: bytes = b"", *, close: bool = True) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: example.org\r\nContent-Length: {len(body)}\r\n"
    return (head + ("Connection: close\r\n" if close else "") + "\r\n").encode() + body


@pytest.mark.long
def test_slow_clients_are_shown_the_door_and_do_not_come_through(port: int, seen: list[str]) -> None:
    with ThreadPoolExecutor() as pool:  # together, so that the longest counts
        header = pool.submit(talk, port, b"GET /slow-header HTTP/1.1\r\nHost: a\r\n", b"X-A: b\r\n", 1.0, 15.0)
        body = pool.submit(talk, port, request("/slow-body", b"x" * 10)[:-9], b"", 1.0, 15.0)
        silent = pool.submit(talk, port, b"", b"", 1.0, 15.0)
        unread, read_soon = pool.submit(left_alone, port, 14.0), pool.submit(left_alone, port, 1.0)
        idle = pool.submit(talk, port, request("/idle", close=False), b"", 1.0, 40.0)
    for said, after in (header.result(), body.result(), silent.result()):
        assert said == b"" or said.startswith(b"HTTP/1.1 408")
        assert 9 < after < 13
    assert unread.result() < LARGE < read_soon.result()
    said, after = idle.result()
    assert said.startswith(b"HTTP/1.1 200")
    assert 29 < after < 33
    assert [path for path in seen if path.startswith("/slow")] == []
    assert "/idle" in seen


def test_a_body_that_the_api_may_judge_goes_through_and_a_huge_one_does_not(port: int, seen: list[str]) -> None:
    said, _ = talk(port, request("/judged", b"x" * 100_000), b"", 5.0, 5.0)
    assert said.startswith(b"HTTP/1.1 200")
    assert said.endswith(b"\r\n100000")
    huge = request("/huge").replace(b"Content-Length: 0", b"Content-Length: 200000")
    said, _ = talk(port, huge, b"", 5.0, 15.0)  # nginx waits some seconds for what the client may still be sending
    assert said.startswith(b"HTTP/1.1 413")
    assert "/huge" not in seen


def test_metrics_are_not_for_everybody(port: int, seen: list[str]) -> None:
    said, _ = talk(port, request("/metrics"), b"", 5.0, 5.0)
    assert said.startswith(b"HTTP/1.1 404")
    assert "/metrics" not in seen


def test_one_address_has_a_bound(port: int) -> None:
    def ask(number: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        statuses = []
        for turn in range(100):
            connection.request("GET", f"/many/{number}/{turn}")
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()
        return statuses

    with ThreadPoolExecutor(16) as pool:
        statuses = [status for answers in pool.map(ask, range(16)) for status in answers]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 500

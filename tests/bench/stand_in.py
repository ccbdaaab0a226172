"""A tiny HTTP server that misbehaves as told."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.driver import Requests
from bench.requests import Same, get

PING: Requests = Same([get("/")])


def response(status: int, body: str = "", headers: str = "") -> bytes:
    """An answer as bytes; `headers` end with a line break."""
    return f"HTTP/1.1 {status} Said\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@dataclass
class StandIn:
    """What to do with request number i, counted from 0 over all connections."""

    answers: list[bytes] = field(default_factory=lambda: [response(200, "fine")])
    """In turn."""
    stalls: dict[int, float] = field(default_factory=dict)
    """Seconds in which nobody is answered, by the request that they begin with."""
    closes_after: int | None = None
    """A connection is closed once so many of its requests were answered."""
    in_pieces: bool = False
    """Whether an answer comes in two parts."""

    def __post_init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._number = 0

    def serve(self, connection: socket.socket) -> None:
        """Answers on one connection until it ends."""
        for _ in range(10**6 if self.closes_after is None else self.closes_after):
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                if not (received := connection.recv(4096)):
                    return
                request += received
            with self._one_at_a_time:
                number, self._number = self._number, self._number + 1
                time.sleep(self.stalls.get(number, 0.0))
            self._send(connection, self.answers[number % len(self.answers)])

    def _send(self, connection: socket.socket, answer: bytes) -> None:
        if self.in_pieces:
            connection.sendall(answer[:-2])
            time.sleep(0.005)
            answer = answer[-2:]
        connection.sendall(answer)


@contextmanager
def serving(stand_in: StandIn) -> Iterator[str]:
    """The URL of it, for the `with` block."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stand_in.serve(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()

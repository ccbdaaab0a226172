"""The requests that the benchmarks send, as bytes; each class is a `bench.driver.Requests`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

HOST = b"Host: 127.0.0.1\r\n"


def get(path: str, token: str | None = None) -> bytes:
    """A GET."""
    authorization = "" if token is None else f"Authorization: Bearer {token}\r\n"
    return f"GET {path} HTTP/1.1\r\n".encode() + HOST + authorization.encode() + b"\r\n"


def post(path: str, body: bytes, headers: bytes = b"") -> bytes:
    """A POST of JSON."""
    head = f"POST {path} HTTP/1.1\r\n".encode() + HOST + headers + b"Content-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@dataclass(frozen=True)
class Same:
    """Over and over the same ones, in turn."""

    requests: Sequence[bytes]

    def __call__(self, number: int) -> bytes:
        return self.requests[number % len(self.requests)]


@dataclass(frozen=True)
class Orders:
    """POST /api/orders: buyers and listings in turn, one unit each."""

    tokens: Sequence[str]
    tickets: Sequence[UUID]
    keyed: bool = False
    """Whether each request carries an Idempotency-Key of its own."""
    series: str = ""
    """Tells the keys of two loads apart."""

    def __call__(self, number: int) -> bytes:
        token = self.tokens[number % len(self.tokens)]
        body = (
            b'{"items": [{"ticket_id": "%s", "quantity": 1}]}' % str(self.tickets[number % len(self.tickets)]).encode()
        )
        key = f"Idempotency-Key: {self.series}-{number}\r\n" if self.keyed else ""
        return post("/api/orders", body, f"Authorization: Bearer {token}\r\n{key}".encode())


HELLO_POST = Same([post("/hello", b'{"name": "somebody at the stage door", "items": [{"quantity": 1}]}')])
HELLO_GET = Same([get("/hello")])

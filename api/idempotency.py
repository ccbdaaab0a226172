"""`Idempotency-Key`: one effect and one answer for a key, across crashes and processes.

The answer is stored in the transaction of the command's events (`domain/work.py`: `Once`). Commands are decided one
after the other, so a second request with the same key simply finds it; no state "in progress" is needed but for
payments, which take several steps (`api/payments.py`).
"""

from __future__ import annotations

import hashlib
from uuid import UUID

import msgspec
from aiohttp import web

from api.answers import Answer, Replayed
from api.problems import invalid, refusal
from api.tracing import Trace
from domain.work import Once

HEADER = "Idempotency-Key"
MAX_KEY = 200

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Replayed).decode
"""What was stored is an answer given once more, wherever it is read."""


def key_of(request: web.Request) -> str | None:
    """The request's key; None without one.

    Raises:
        Refused: 422 for one that is empty, too long or not printable ASCII.
    """
    key = request.headers.get(HEADER)
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise invalid(HEADER, f"expected 1 to {MAX_KEY} printable ASCII characters")
    return key


def fingerprint(request: web.Request, raw: bytes) -> bytes:
    """Tells the request from another one: SHA-256 over method, path and body."""
    head = f"{request.method} {request.path}\n".encode()
    return hashlib.sha256(head + raw).digest()


def once(scope: UUID, key: str, request: web.Request, raw: bytes, trace: Trace) -> Once[Answer]:
    """The promise that goes with a command. `scope` is the user: keys are theirs alone."""
    return Once(
        scope=scope,
        key=key,
        fingerprint=fingerprint(request, raw),
        encode=encode,
        decode=decode,
        refusal=lambda error: refusal(error, trace),
    )

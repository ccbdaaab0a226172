"""Bare sockets, and what every answer must be."""

from __future__ import annotations

import asyncio

import msgspec

from tests.api.house import Answer

EXCHANGE_SECONDS = 10.0


async def exchange(port: int, sent: bytes) -> Answer:
    """Sends bytes as they are, and reads until the connection is closed; the first answer."""
    async with asyncio.timeout(EXCHANGE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        received = await reader.read()
        writer.close()
    head, _, rest = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(status_line.split()[1]), headers, rest[: int(headers.get("Content-Length", 0))])


LEAKS = (b"Traceback", b'File "', b".py", b"psycopg", b"SELECT ", b"INSERT ", b"asyncio", b"site-packages", b"0x7f")
"""What an answer would have in it that lets people look inside."""


def check(answer: Answer, told: object = "") -> Answer:
    """No server error, and problem details whose ids agree for every error; returns the answer."""
    assert answer.status < 500, (told, answer.raw[:300])
    assert "X-Request-Id" in answer.headers, (told, answer)
    if answer.status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json", (told, answer)
        assert not [leak for leak in LEAKS if leak in answer.raw], (told, answer.raw[:300])
        body = msgspec.json.decode(answer.raw)
        assert body["status"] == answer.status, told
        assert body["instance"] == f"urn:uuid:{answer.headers['X-Request-Id']}", told
        assert body["trace_id"] == answer.headers["X-Request-Id"].replace("-", ""), told
        assert len(answer.raw) < 2_000, (told, answer.raw[:300])
    return answer

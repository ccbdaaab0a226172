"""What is no good HTTP, or too much of it: refused on a real socket, and nothing gets in behind it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest

from api import protocol
from tests.limits.door import Door, one_answer, open_door, until_closed

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /body HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def problem(said: bytes) -> tuple[int, str]:
    """Status and code of the only answer."""
    assert said.count(b"HTTP/1.") == 1, said
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), msgspec.json.decode(body)["code"]


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with pytest.MonkeyPatch.context() as patched, open_door() as one:
        patched.setattr(protocol, "LINGERING_SECONDS", 0.3)
        yield one


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"Content-Length: 5\r\nContent-Length: 40\r\n\r\nhello" + SMUGGLED,
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + SMUGGLED,
        POST + b"Content-Length: 5, 40\r\n\r\nhello" + SMUGGLED,
        POST + b"Content-Length: +5\r\n\r\nhello" + SMUGGLED,
        POST + b"Content-Length: 5 5\r\n\r\nhello" + SMUGGLED,
        POST + b"Content-Length: 0x5\r\n\r\nhello" + SMUGGLED,
        POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: 99999999999999999999\r\n\r\n" + SMUGGLED,
        POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + SMUGGLED,
        POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"X:\r\n chunked\r\nContent-Length\r\n\r\n" + SMUGGLED,
        POST + b"X-A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        POST + b"X\0Y: b\r\n\r\n" + SMUGGLED,
        POST + b"X-A: a\0b\r\n\r\n" + SMUGGLED,
        POST + b"Host: y\r\nX A: b\r\n\r\n" + SMUGGLED,
        b"GET /small/1 HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"GET /small/1\r\nHost: x\r\n\r\n" + SMUGGLED,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
    ],
)
def test_what_two_servers_may_read_in_two_ways_is_refused(door: Door, sent: bytes) -> None:
    door.paths.clear()
    assert problem(door.exchange(sent)) == (400, "bad_request")
    assert door.paths == []


@pytest.mark.parametrize(
    "chunks",
    [
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"5;a=\n0\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_do_not_add_up_end_the_connection(door: Door, chunks: bytes) -> None:
    door.paths.clear()
    said = door.exchange(POST + CHUNKED + b"\r\n" + chunks + SMUGGLED)
    assert problem(said) == (400, "bad_request")
    assert "/smuggled" not in door.paths


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET /small/%s HTTP/1.1\r\nHost: x\r\n" % (b"a" * 8_000), None),
        (b"GET /small/%s HTTP/1.1\r\nHost: x\r\n" % (b"a" * 8_300), (414, "uri_too_long")),
        (b"GET /small/1 HTTP/1.1\r\nHost: x\r\nX-A: %s\r\n" % (b"a" * 8_000), None),
        (b"GET /small/1 HTTP/1.1\r\nHost: x\r\nX-A: %s\r\n" % (b"a" * 8_300), (431, "headers_too_large")),
        (b"GET /small/1 HTTP/1.1\r\nHost: x\r\n%s: b\r\n" % (b"a" * 8_300), (431, "headers_too_large")),
        (b"GET /small/1 HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: b\r\n" % n for n in range(60)), None),
        (
            b"GET /small/1 HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: b\r\n" % n for n in range(70)),
            (431, "headers_too_large"),
        ),
    ],
)
def test_url_and_headers_have_bounds(door: Door, head: bytes, expected: tuple[int, str] | None) -> None:
    said = door.exchange(head + b"Connection: close\r\n\r\n")
    if expected is None:
        assert said.startswith(b"HTTP/1.1 200 ")
    else:
        assert problem(said) == expected


def test_trailers_have_bounds_too(door: Door) -> None:
    trailers = b"".join(b"X-%d: b\r\n" % number for number in range(100_000))
    said = door.exchange(POST + CHUNKED + b"\r\n1\r\nx\r\n0\r\n" + trailers + b"\r\n" + SMUGGLED)
    assert problem(said)[0] == 431
    assert "/smuggled" not in door.paths


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (b"Content-Length: 65536\r\n", b"x" * 65_536, None),
        (b"Content-Length: 65537\r\n", b"x" * 65_537, (413, "body_too_large")),
        (b"Content-Length: 99999999999\r\n", b"x" * 100, (413, "body_too_large")),
        (CHUNKED, b"10000\r\n" + b"x" * 65_536 + b"\r\n0\r\n\r\n", None),
        (CHUNKED, b"10001\r\n" + b"x" * 65_537 + b"\r\n0\r\n\r\n", (413, "body_too_large")),
        (CHUNKED, b"1\r\nx\r\n" * 70_000 + b"0\r\n\r\n", (413, "body_too_large")),
        (CHUNKED, (b"30\r\n" + b"x" * 48 + b"\r\n") * 1_000 + b"0\r\n\r\n", None),
        (CHUNKED, (b"30\r\n" + b"x" * 48 + b"\r\n") * 1_001 + b"0\r\n\r\n", (413, "body_too_large")),
        (CHUNKED, b"1;" + b"a" * 1_000_000 + b"\r\nx\r\n0\r\n\r\n", None),
        (b"Content-Encoding: gzip\r\nContent-Length: 65\r\n", b"x" * 65, (415, "unsupported_media_type")),
        (b"Content-Encoding: br\r\nContent-Length: 65\r\n", b"x" * 65, (415, "unsupported_media_type")),
    ],
)
def test_a_body_has_a_bound(door: Door, headers: bytes, body: bytes, expected: tuple[int, str] | None) -> None:
    said = door.exchange(POST + headers + b"Connection: close\r\n\r\n" + body)
    if expected is None:
        assert said.startswith(b"HTTP/1.1 200 ")
    else:
        assert problem(said) == expected


def test_a_gzip_bomb_is_not_unpacked(door: Door) -> None:
    bomb = gzip.compress(b"0" * 20_000_000)
    assert len(bomb) < 65_536
    sent = POST + b"Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb
    assert problem(door.exchange(sent)) == (415, "unsupported_media_type")


def test_requests_in_a_row_are_answered_in_their_order(door: Door) -> None:
    door.paths.clear()
    wanted = [f"/small/{number}" for number in range(500)]
    sent = b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() for path in wanted[:-1])
    said = door.exchange(sent + b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % wanted[-1].encode())
    assert said.count(b"HTTP/1.1 200 ") == 500
    assert door.paths == wanted


def test_requests_in_a_row_wait_outside_while_one_is_handled(door: Door) -> None:
    with door.connect() as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.settimeout(0.3)
        sent = 0
        with suppress(TimeoutError):
            while sent < 100_000_000:
                sent += connection.send(SMUGGLED * 1_000)
        handler = next(iter(door.connections._open))
        assert 0 < len(handler._messages) <= 32  # type: ignore[attr-defined]
        assert sent < 20_000_000, "the rest is in the kernel's buffers"


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
def test_an_upgrade_is_not_made(door: Door, upgrade: str) -> None:
    head = f"GET /small/1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: {upgrade}\r\n\r\n".encode()
    said = door.exchange(head + b"x" * 10_000)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"101" not in said.split(b"\r\n")[0]


def test_a_connection_goes_on_after_a_refusal_whose_body_was_read(door: Door) -> None:
    with door.connect() as connection:
        connection.sendall(POST + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx")
        assert one_answer(connection).startswith(b"HTTP/1.1 415 ")
        connection.sendall(b"GET /small/2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert until_closed(connection).endswith(b"/small/2")

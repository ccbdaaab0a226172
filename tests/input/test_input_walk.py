"""Every route with every kind of broken input: an answer that says what is wrong, never a server error, nothing from
inside."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from itertools import product
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from api.route import Access, Route
from api.routes import ROUTES
from tests.api.house import House
from tests.input.shapes import GOOD, ID, NASTY, changed, leaves, objects
from tests.input.wire import check, exchange

TEXTS = [
    value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in NASTY if value != "\ud83d"
]
BODIES = [b"", b"\x00", b"{", b"[]", b"null", b'"x"', b"1E400", b"9" * 6_000, b"\xff\xfe{\x00}\x00", b'{"a":1,"a":2}',
          b"[" * 20_000, b"\xef\xbb\xbf{}", b"{}{}", b'{"\\ud800": 1}', b'{"": {"": {"": ""}}}', b"<a/>"]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "PURGE", "LINK", "SEARCH"]


def path_of(route: Route, value: str = ID) -> str:
    """The route's path, for `House.call`, with this in place of every variable."""
    return "/" + re.sub(r"\{\w+\}", lambda _: value, route.path)


async def test_every_body_with_every_nasty_value(house: House) -> None:
    token = (await house.person()).token
    for route in (route for route in ROUTES if route.body is not None):
        assert route.body is not None
        places = [leaf.place for leaf in leaves(route.body)] + [place for place, _ in objects(route.body) if place]
        path = path_of(route)
        for place in places:
            for value in NASTY:
                # Each password that is taken costs 20 ms; the decoder alone sees the rest (`test_input_fuzz.py`).
                if "password" not in place[-1:] or not isinstance(value, str):
                    raw = _encoded(changed(route.body, place, value))
                    check(await house.call(route.method, path, raw=raw, token=token), (route.name, place, value))


async def test_every_route_with_every_broken_body(house: House) -> None:
    token = (await house.person()).token
    for route in ROUTES:
        if route.method in ("POST", "PATCH", "DELETE") and route.name not in ("signing_in.sign_out", "users.erase"):
            for raw in BODIES:
                answer = check(await house.call(route.method, path_of(route), raw=raw, token=token), (route.name, raw))
                assert route.body is None or answer.status in (400, 422), (route.name, raw)


async def test_every_query_with_every_nasty_value(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.reads.MIN_VERSION_SECONDS", 0.0)
    token = (await house.person()).token
    await house.listing(await house.person())
    await house.project()
    for route in (route for route in ROUTES if route.query is not None):
        assert route.query is not None
        for field in msgspec.structs.fields(route.query):
            for text in (*(quote(text) for text in TEXTS), "%ff", "%ed%a0%80", "%", "%zz", "+", "a=b", "é", "%C0%80"):
                query = f"?{field.encode_name}={text}"
                if len(query) < 8_000:
                    check(await house.call("GET", path_of(route) + query, token=token), (route.name, query))
        for query in ("?", "?=", "?&&", "?limit=1&limit=2", "?unknown=1", "?%00=1", "?limit[]=1", "?q" * 500):
            check(await house.call("GET", path_of(route) + query, token=token), (route.name, query))


async def test_every_path_with_every_nasty_value(house: House) -> None:
    token = (await house.person()).token
    for route in (route for route in ROUTES if "{" in route.path):
        for text in TEXTS:
            if text and len(text) < 1_000:
                path = path_of(route, quote(text, safe=""))
                check(await house.call(route.method, path, token=token), (route.name, text))


async def test_every_path_with_every_method(house: House) -> None:
    """405 with what is allowed, TRACE and names nobody knows included; a HEAD is a GET's head."""
    routes: dict[str, set[str]] = {"/api/nothing": set()}
    for route in ROUTES:
        routes.setdefault(path_of(route)[1:], set()).add(route.method)
    for path, methods in routes.items():
        allowed = methods | ({"HEAD"} if "GET" in methods else set())
        for method in METHODS:
            if method == "HEAD":
                head = await house.call("HEAD", f"/{path}")
                assert (head.status < 500, head.raw) == (True, b"")
                continue
            sent = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            answer = check(await exchange(port_of(house), sent.encode()), (method, path))
            if allowed and method not in allowed:
                assert answer.status == 405, (method, path)
                assert {name.strip() for name in answer.headers["Allow"].split(",")} == allowed
            elif not allowed:
                assert answer.status == 404


HEADER_VALUES = [
    b"", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3\xa9", b"a" * 8_000, b'"', b",", b"=", b"Bearer", b"Bearer \xff", b'W/"1"',
    b"t=1,v1=\xff", b"t=\xd9\xa1,v1=00", b"t=" + b"9" * 400 + b",v1=00", b"00-0-0-0", b"Bearer a.b.c", b"Bearer ..",
    b"application/json; charset=\xff",
]  # fmt: skip


HEADERS = [
    "Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "Content-Type", "Content-Encoding", "traceparent",
    "Origin", "Stripe-Signature", "Accept", "Cookie", "X-Forwarded-For", "Range", "Forwarded",
]  # fmt: skip


async def test_every_header_with_bytes_of_any_kind(house: House) -> None:
    token = (await house.person()).token
    body = msgspec.json.encode(GOOD["NewCollected"])
    for name, value in product(HEADERS, HEADER_VALUES):
        for path in (b"/api/collection", b"/api/webhooks/stripe"):
            head = [b"POST %s HTTP/1.1" % path, b"Host: x", b"Connection: close", b"Content-Length: %d" % len(body)]
            if name != "Authorization":
                head.append(b"Authorization: Bearer " + token.encode())
            head.append(name.encode() + b": " + value)
            check(await exchange(port_of(house), b"\r\n".join(head) + b"\r\n\r\n" + body), (name, value))


async def test_whatever_a_handler_raises_shows_its_id_and_nothing_else(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    token = (await house.person()).token
    for error in (TimeoutError("SELECT 1"), KeyError("/etc"), RecursionError(), MemoryError(), OSError("gone")):

        async def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(type(house.services.accounts), "end_session", fail)
        with caplog.at_level(logging.ERROR):
            answer = await house.call("POST", "/users/signout", token=token)
        assert (answer.status, answer.code) == (500, "internal_error")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert not [text for text in (b"SELECT", b"/etc", b"gone", b"Error") if text in answer.raw]
        assert answer.body["trace_id"] == answer.headers["X-Request-Id"].replace("-", "")
        assert answer.headers["X-Request-Id"] in caplog.text


async def test_whoever_leaves_leaves_no_trouble(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that goes in the middle of a body, or before the answer."""
    port = port_of(house)
    with caplog.at_level(logging.ERROR):
        for sent in (
            b"POST /api/users/signup HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
            b"GET /api/tickets HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /api/users/signup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            await writer.drain()
            writer.transport.abort()
        await asyncio.sleep(0.1)
        check(await house.call("GET", "//healthz"))
    assert not caplog.records


async def test_every_error_of_every_route_is_a_problem_it_declares(house: House) -> None:
    """With nothing in the request at all. With a trace of the caller's, that is the one that is told."""
    for route in ROUTES:
        answer = check(await house.call(route.method, path_of(route)), route.name)
        if answer.status >= 400:
            assert answer.code in route.all_problems(), (route.name, answer.code)
            assert answer.status != 401 or route.access is not Access.ANYONE
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await house.call("GET", "/nothing", headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"})
    assert (answer.status, answer.body["trace_id"]) == (404, trace_id)
    assert answer.body["instance"] == f"urn:uuid:{answer.headers['X-Request-Id']}"


def port_of(house: House) -> int:
    return int(house.url.rpartition(":")[2])


def _encoded(value: Any) -> bytes:
    """JSON of a body that may hold half a character, as an escape."""
    return json.dumps(value).encode()

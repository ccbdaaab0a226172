"""Errors: problem details for every one of them, and never a trace."""

from __future__ import annotations

import asyncio
import gzip
import logging
from typing import Any

import aiohttp
import psycopg
import pytest
from psycopg_pool import PoolTimeout

import domain.errors
from api.problems import PROBLEMS
from domain.errors import Busy, DomainError, Unavailable
from tests.api.house import Answer, House

LARGE = 70_000


def is_problem(answer: Answer, status: int, code: str) -> bool:
    """Whether it is whole problem details with this code."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    body = answer.body
    assert {"type", "title", "status", "detail", "code", "instance", "trace_id"} <= set(body)
    assert body["type"] == f"urn:stagedoor:problem:{body['code']}"
    assert body["instance"] == f"urn:uuid:{answer.headers['X-Request-Id']}"
    assert body["status"] == answer.status
    return (answer.status, body["code"]) == (status, code)


def test_every_refusal_of_the_domain_has_its_status() -> None:
    refusals = [
        kind
        for kind in vars(domain.errors).values()
        if isinstance(kind, type) and issubclass(kind, DomainError) and kind is not DomainError
    ]
    assert len(refusals) > 10
    assert {kind.code for kind in refusals} <= set(PROBLEMS)


@pytest.mark.parametrize(
    "path", ["/nothing", "//nothing", "//nothing/at/all", "/tickets/", "//docs/nothing", "//docs/../api"]
)
async def test_a_path_that_is_none(house: House, path: str) -> None:
    assert is_problem(await house.call("GET", path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/tickets", {"GET", "HEAD", "POST"}),
        ("DELETE", "/orders", {"GET", "HEAD", "POST"}),
        ("GET", "/payments", {"POST"}),
        ("OPTIONS", "/payments", {"POST"}),
        ("POST", "//healthz", {"GET", "HEAD"}),
    ],
)
async def test_a_method_that_is_not_for_this_path(house: House, method: str, path: str, allowed: set[str]) -> None:
    answer = await house.call(method, path)
    assert is_problem(answer, 405, "method_not_allowed")
    assert {name.strip() for name in answer.headers["Allow"].split(",")} == allowed


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"title=Category",
        b'{"title": "a"} {}',
        b'{"title": "\xff"}',
        b'{"title": "\\ud800"}',
        b'{"title": NaN}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"unknown": {"and": "not ended',
    ],
)
async def test_a_body_that_is_not_json(house: House, raw: bytes) -> None:
    seller = await house.person()
    assert is_problem(await house.call("POST", "/tickets", raw=raw, token=seller.token), 400, "bad_json")


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"1"])
async def test_json_that_is_no_object(house: House, raw: bytes) -> None:
    seller = await house.person()
    answer = await house.call("POST", "/tickets", raw=raw, token=seller.token)
    assert is_problem(answer, 422, "validation_failed")
    assert answer.fields == ["body"]


@pytest.mark.parametrize("name", ["x" * 10_000, "a`b", "a - at `$.b`", ""])
async def test_an_unknown_field_of_any_name(house: House, name: str) -> None:
    seller = await house.person()
    answer = await house.call("POST", "/tickets", {name: 1}, token=seller.token)
    assert is_problem(answer, 422, "validation_failed")
    assert len(answer.raw) < 2_000


@pytest.mark.parametrize("media", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", None])
async def test_json_may_be_called_so_or_nothing(house: House, media: str | None) -> None:
    seller = await house.person()
    headers = {} if media is None else {"Content-Type": media}
    skip = ["Content-Type"] if media is None else None
    async with aiohttp.ClientSession(skip_auto_headers=skip) as session:
        headers["Authorization"] = f"Bearer {seller.token}"
        async with session.post(f"{house.url}/api/tickets", data=b"{}", headers=headers) as answer:
            assert answer.status == 422


@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense"]
)
async def test_a_body_that_says_it_is_something_else(house: House, media: str) -> None:
    seller = await house.person()
    answer = await house.call("POST", "/tickets", raw=b"{}", token=seller.token, headers={"Content-Type": media})
    assert is_problem(answer, 415, "unsupported_media_type")


async def test_a_body_that_is_too_large(house: House) -> None:
    seller = await house.person()
    answer = await house.call("POST", "/tickets", raw=b" " * LARGE, token=seller.token)
    assert is_problem(answer, 413, "body_too_large")

    async def chunks() -> Any:
        for _ in range(10):
            yield b" " * 10_000

    headers = {"Authorization": f"Bearer {seller.token}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{house.url}/api/tickets", data=chunks(), headers=headers) as chunked,
    ):
        assert is_problem(Answer(chunked.status, chunked.headers, await chunked.read()), 413, "body_too_large")


async def test_a_compressed_body_is_not_unpacked(house: House) -> None:
    seller = await house.person()
    bomb = gzip.compress(b" " * 50_000_000)
    headers = {"Content-Encoding": "gzip"}
    for path in ("/tickets", "/webhooks/stripe"):
        answer = await house.call("POST", path, raw=bomb[:60_000], token=seller.token, headers=headers)
        assert is_problem(answer, 415, "unsupported_media_type")


async def test_a_body_that_does_not_come(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.bodies.BODY_SECONDS", 0.2)
    seller = await house.person()

    async def slow() -> Any:
        yield b"{"
        await asyncio.sleep(1.0)

    headers = {"Authorization": f"Bearer {seller.token}", "Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{house.url}/api/tickets", data=slow(), headers=headers) as answer,
    ):
        assert is_problem(Answer(answer.status, answer.headers, await answer.read()), 408, "request_timeout")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Busy("full"), 503, "busy"),
        (Unavailable("away"), 503, "unavailable"),
        (psycopg.OperationalError("away"), 503, "unavailable"),
        (PoolTimeout("away"), 503, "unavailable"),
    ],
)
async def test_what_cannot_be_done_now_says_when_to_come_again(
    house: House, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    def refuse(*_: object) -> None:
        raise error

    seller = await house.person()
    monkeypatch.setattr(type(house.services.accounts), "end_session", refuse)
    answer = await house.call("POST", "/users/signout", token=seller.token)
    assert is_problem(answer, status, code)
    assert int(answer.headers["Retry-After"]) >= 1


async def test_what_nobody_foresaw_shows_nothing_of_itself(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seller = await house.person()
    text = f"Key (email)=({seller.email}) already exists"

    def fail(*_: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(type(house.services.accounts), "end_session", fail)
    with caplog.at_level(logging.ERROR):
        answer = await house.call("POST", "/users/signout", token=seller.token)
    assert is_problem(answer, 500, "internal_error")
    assert seller.email.encode() not in answer.raw
    assert b"Traceback" not in answer.raw
    assert answer.headers["X-Request-Id"] in caplog.text
    assert "RuntimeError" in caplog.text
    assert seller.email not in caplog.text


async def test_a_database_that_is_away_is_not_a_fault_of_the_program(house: House) -> None:
    buyer = await house.person()
    await house.services.pool.close()
    answer = await house.call("GET", "/orders", token=buyer.token)
    assert is_problem(answer, 503, "unavailable")


async def test_a_head_is_a_get_without_its_body(house: House) -> None:
    ticket = await house.listing(await house.person())
    answer = await house.call("HEAD", f"/tickets/{ticket['id']}")
    assert (answer.status, answer.raw, answer.headers["ETag"]) == (200, b"", '"1"')
    assert int(answer.headers["Content-Length"]) > 100


async def test_the_answers_do_not_tell_what_they_are_made_with(house: House) -> None:
    for path in ("/tickets", "/nothing"):
        assert (await house.call("GET", path)).headers["Server"] == "Stagedoor"

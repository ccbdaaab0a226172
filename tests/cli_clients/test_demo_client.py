"""The client both commands share: what it repeats, what not, and how long it waits."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cli import client as client_module
from cli.account import Account
from cli.client import MAX_ATTEMPTS, Client, ProblemError, UnansweredError
from cli.contract import Session, Ticket, User

Answers = list[Callable[[web.Request], web.StreamResponse]]


def problem(status: int, code: str, retry_after: str | None = None) -> Callable[[web.Request], web.Response]:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return lambda _: web.json_response({"code": code, "detail": "no"}, status=status, headers=headers)


def fine(_: web.Request) -> web.Response:
    return web.json_response({"fine": True})


def silent(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


class Script:
    """A server that gives the scripted answers in turn, then the last one for ever."""

    def __init__(self) -> None:
        self.answers: Answers = [fine]
        self.seen: list[web.Request] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.seen.append(request)
        return self.answers[min(len(self.seen), len(self.answers)) - 1](request)

    def headers(self, name: str) -> list[str | None]:
        return [request.headers.get(name) for request in self.seen]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
async def client(script: Script, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    monkeypatch.setattr(client_module, "FIRST_BACKOFF_SECONDS", 0.001)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.handle)
    async with TestServer(app) as server, Client.connect(str(server.make_url("/")), 4) as connected:
        yield connected


async def test_a_refusal_is_repeated_after_the_time_it_names(client: Client, script: Script) -> None:
    script.answers = [problem(503, "overloaded", "1"), problem(429, "too_many_requests"), fine]
    begin = time.monotonic()
    reply = await client.request("POST", "/orders", body={}, idempotency_key="k")
    assert (reply.raw, reply.replayed) == (b'{"fine": true}', False)
    assert 1.0 <= time.monotonic() - begin < 10.0
    assert client.traffic.refused == {503: 1, 429: 1}
    assert script.headers("Idempotency-Key") == ["k", "k", "k"]


async def test_it_does_not_wait_longer_than_its_patience(client: Client, script: Script) -> None:
    script.answers = [problem(429, "too_many_requests", "30")]
    begin = time.monotonic()
    with pytest.raises(ProblemError) as raised:
        await client.request("GET", "/tickets", patience_seconds=5)
    assert time.monotonic() - begin < 5.0
    assert (raised.value.status, raised.value.retry_after_seconds, len(script.seen)) == (429, 30.0, 1)


async def test_it_gives_up_after_a_number_of_attempts(client: Client, script: Script) -> None:
    script.answers = [problem(503, "overloaded")]
    with pytest.raises(ProblemError):
        await client.request("GET", "/tickets")
    assert len(script.seen) == MAX_ATTEMPTS


async def test_other_errors_are_final(client: Client, script: Script) -> None:
    script.answers = [problem(409, "sold_out")]
    with pytest.raises(ProblemError, match="409 sold_out: no") as raised:
        await client.request("POST", "/orders", body={}, idempotency_key="k")
    assert (len(script.seen), raised.value.after_silence) == (1, False)


@pytest.mark.parametrize("lost", [silent, problem(500, "internal")])
async def test_a_lost_answer_is_asked_for_again_with_the_same_key(
    client: Client, script: Script, lost: Callable[[web.Request], web.StreamResponse]
) -> None:
    script.answers = [lost, problem(409, "order_not_open")]
    with pytest.raises(ProblemError) as raised:
        await client.request("POST", "/payments", body={}, idempotency_key="k")
    assert raised.value.after_silence
    assert script.headers("Idempotency-Key") == ["k", "k"]
    assert client.traffic.unanswered == 1


async def test_an_answer_given_before_is_told_from_a_lost_one(client: Client, script: Script) -> None:
    """After silence it is most likely the answer to this very request."""

    def given_before(_: web.Request) -> web.Response:
        return web.json_response({}, headers={"Idempotent-Replayed": "true"})

    script.answers = [problem(503, "overloaded", "0"), given_before, silent, given_before]
    replies = [await client.request("POST", "/tickets", body={}, idempotency_key="k") for _ in range(2)]
    assert [reply.replayed for reply in replies] == [True, False]


async def test_what_may_have_happened_is_not_called_a_refusal(client: Client, script: Script) -> None:
    script.answers = [problem(500, "internal"), problem(503, "overloaded")]
    with pytest.raises(UnansweredError):
        await client.request("POST", "/orders", body={}, idempotency_key="k")
    assert len(script.seen) == MAX_ATTEMPTS


async def test_a_request_without_a_key_is_not_repeated_without_an_answer(client: Client, script: Script) -> None:
    script.answers = [problem(500, "internal"), fine]
    with pytest.raises(UnansweredError):
        await client.request("DELETE", "/orders/1")
    assert len(script.seen) == 1


async def test_a_redirect_is_not_followed(client: Client, script: Script) -> None:
    script.answers = [lambda _: web.Response(status=307, headers={"Location": "/elsewhere"}), fine]
    with pytest.raises(ProblemError) as raised:
        await client.request("GET", "/tickets", token="t")
    assert (raised.value.status, raised.value.code, len(script.seen)) == (307, "http_307", 1)


async def test_an_answer_that_is_not_the_contract(client: Client) -> None:
    account = Account(client, "password", Session(User("1", "a@example.org"), "access", "refresh"))
    with pytest.raises(UnansweredError, match="not what the contract says"):
        await account.get("/tickets/1", Ticket)


async def test_an_ended_token_is_refreshed_once(client: Client, script: Script) -> None:
    session = {"user": {"id": "1", "email": "a@example.org"}, "access_token": "new", "refresh_token": "newer"}
    script.answers = [problem(401, "unauthenticated"), lambda _: web.json_response(session), fine]
    account = Account(client, "password", Session(User("1", "a@example.org"), "old", "refresh"))
    assert await account.make_once("/orders", {}, "k")
    assert [request.path for request in script.seen] == ["/api/orders", "/api/users/refresh", "/api/orders"]
    assert script.headers("Authorization") == ["Bearer old", None, "Bearer new"]
    assert script.headers("Idempotency-Key") == ["k", None, "k"]

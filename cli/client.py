"""A client of the marketplace's REST contract: one request with its retries, problem details as exceptions."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import msgspec

from cli.contract import ProblemDetails

MAX_ATTEMPTS = 10
"""Of one request, the first included: a marketplace that refuses ten times in a row is not helped by an eleventh."""

PATIENCE_SECONDS = 60.0
"""How long one request may go on being repeated by default: a rate limit's window of a minute, or a restart."""

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 5.0

SUCCESS = range(200, 300)
SERVER_ERRORS = range(500, 600)
REFUSALS = (429, 503)
"""Nothing was done, and `Retry-After` says when to ask again."""

T = TypeVar("T")


class ClientError(Exception):
    """A request did not get the answer it asked for."""


class ProblemError(ClientError):
    """The marketplace answered with an error.

    `after_silence` says that an earlier attempt of the same request got no answer, so that this answer may describe
    what that attempt did: a payment that went through shows as `order_not_open`.
    """

    def __init__(self, status: int, details: ProblemDetails, retry_after_seconds: float | None) -> None:
        self.status = status
        self.code = details.code or f"http_{status}"
        self.detail = details.detail or details.title or self.code
        self.faults = tuple(f"{error.field}: {error.message}" for error in details.errors) or (self.detail,)
        """What is wrong: field by field where the marketplace says so, else its one sentence."""
        self.retry_after_seconds = retry_after_seconds
        self.after_silence = False
        super().__init__(f"{status} {self.code}: {'; '.join(self.faults)}")


class UnansweredError(ClientError):
    """No usable answer: no connection, no answer in time, or a server error. What became of the request is unknown."""


@dataclass(frozen=True)
class Reply:
    """A request's answer."""

    raw: bytes
    """The body as it came."""
    replayed: bool
    """It was given before, under the same idempotency key, to somebody who asked before this request."""


@dataclass
class Traffic:
    """What happened on the wire, retries included."""

    refused: Counter[int] = field(default_factory=Counter)
    """Answers 503 and 429, by status."""
    unanswered: int = 0
    """Attempts that got no usable answer."""


class Client:
    """Speaks to one marketplace. Safe to share between tasks of one event loop."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self.base_url = base_url.rstrip("/")
        self.traffic = Traffic()

    @classmethod
    @asynccontextmanager
    async def connect(cls, base_url: str, connections: int) -> AsyncIterator[Client]:
        """A client with at most `connections` connections; further requests wait for one."""
        connector = aiohttp.TCPConnector(limit=connections)
        async with aiohttp.ClientSession(connector=connector, timeout=REQUEST_TIMEOUT) as session:
            yield cls(session, base_url)

    async def ready(self) -> None:
        """Asks once whether the marketplace is ready.

        Raises:
            ProblemError: it runs but is not ready.
            UnansweredError: nothing answers there.
        """
        await self._send("GET", "/readyz", None, None, {})

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        token: str | None = None,
        idempotency_key: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        repeatable: bool | None = None,
    ) -> Reply:
        """One request to `/api` + `path`.

        A refusal (503, 429) is repeated when its `Retry-After` is over, and an attempt without an answer is repeated if
        the request is `repeatable`: by default a GET, or one with an idempotency key, which stays the same. It gives up
        after `MAX_ATTEMPTS`, or when the next attempt would begin later than `patience_seconds` from now.

        Raises:
            ProblemError: the last answer was an error.
            UnansweredError: an attempt got no usable answer, and no later one told what became of the request.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        if repeatable is None:
            repeatable = method == "GET" or idempotency_key is not None
        clock = asyncio.get_running_loop()
        give_up_at = clock.time() + patience_seconds
        silence: UnansweredError | None = None
        for attempt in range(1, MAX_ATTEMPTS + 1):
            error: ClientError
            try:
                raw, replayed = await self._send(method, f"/api{path}", body, query, headers)
                # After silence it may well be the answer to an earlier attempt of this request.
                return Reply(raw, replayed and silence is None)
            except UnansweredError as unanswered:
                self.traffic.unanswered += 1
                error = silence = unanswered
                wait_seconds = _backoff_seconds(attempt) if repeatable else None
            except ProblemError as problem:
                problem.after_silence = silence is not None
                wait_seconds = self._wait_seconds(problem, attempt)
                if wait_seconds is None:
                    raise
                error = silence or problem
            if wait_seconds is None or attempt == MAX_ATTEMPTS or clock.time() + wait_seconds > give_up_at:
                raise error
            await asyncio.sleep(wait_seconds)
        raise AssertionError("the last attempt returns or raises")

    async def _send(
        self, method: str, path: str, body: object, query: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> tuple[bytes, bool]:
        """The body of the answer, and whether it was given before."""
        sent: dict[str, Any] = {"headers": dict(headers)}
        if body is not None:
            sent["data"] = msgspec.json.encode(body)
            sent["headers"]["Content-Type"] = "application/json"
        try:
            # A redirect is not followed: it would carry the token to another place.
            async with self._session.request(
                method, self.base_url + path, params=query, allow_redirects=False, **sent
            ) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnansweredError(str(error) or type(error).__name__) from error
        if answer.status in SUCCESS:
            return raw, answer.headers.get("Idempotent-Replayed") == "true"
        problem = _problem(answer.status, raw, answer.headers.get("Retry-After"))
        if answer.status in SERVER_ERRORS and answer.status not in REFUSALS:
            raise UnansweredError(str(problem))
        raise problem

    def _wait_seconds(self, problem: ProblemError, attempt: int) -> float | None:
        """How long to wait before the next attempt; None when another one would be answered the same."""
        if problem.status in REFUSALS:
            self.traffic.refused[problem.status] += 1
            if problem.retry_after_seconds is not None:
                # A little more, so that those who were told the same do not all come back at once.
                return problem.retry_after_seconds * random.uniform(1.0, 1.1)  # noqa: S311 - spreads load only
            return _backoff_seconds(attempt)
        return _backoff_seconds(attempt) if problem.code == "idempotency_in_progress" else None


def decoded(raw: bytes, answer: type[T]) -> T:
    """The body as a value of the contract.

    Raises:
        UnansweredError: it is not what the contract says.
    """
    try:
        return msgspec.json.decode(raw, type=answer)
    except msgspec.MsgspecError as error:
        raise UnansweredError(f"the answer is not what the contract says: {error}") from error


def _backoff_seconds(attempt: int) -> float:
    longest: float = min(FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1), LONGEST_BACKOFF_SECONDS)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load only


def _problem(status: int, raw: bytes, retry_after: str | None) -> ProblemError:
    try:
        details = msgspec.json.decode(raw, type=ProblemDetails)
    except msgspec.MsgspecError:
        details = ProblemDetails(detail=f"an answer without problem details, status {status}")
    seconds = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
    return ProblemError(status, details, seconds)

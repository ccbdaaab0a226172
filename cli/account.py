"""A signed-in user of the marketplace, as the commands act for one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import TypeVar

import msgspec

from cli.client import PATIENCE_SECONDS, Client, ClientError, ProblemError, Reply, decoded
from cli.contract import Session

UNAUTHENTICATED = 401
PAGE_LIMIT = "100"
MAX_PAGES = 100_000
"""A list longer than ten million entries is a server that gives cursors for ever."""

T = TypeVar("T")


class _Page(msgspec.Struct):
    items: list[msgspec.Raw]
    next_cursor: str | None = None


class Account:
    """One user's session. Renews itself when the access token ends; safe to share between tasks."""

    def __init__(self, client: Client, password: str, session: Session) -> None:
        self._client = client
        self._password = password
        self._session = session
        self._renewing = asyncio.Lock()

    @property
    def id(self) -> str:
        return self._session.user.id

    @property
    def email(self) -> str:
        return self._session.user.email

    @classmethod
    async def sign_up(cls, client: Client, email: str, password: str, name: str) -> Account:
        """Makes the account, or signs in to it when it exists: the answer to an earlier sign-up may have been lost.

        Raises:
            ProblemError: 422 for a value refused, 401 `bad_credentials` when it exists with another password.
            UnansweredError: no answer.
        """
        body = {"email": email, "password": password, "name": name}
        try:
            reply = await client.request("POST", "/users/signup", body=body, repeatable=True)
        except ProblemError as problem:
            if problem.code != "email_taken":
                raise
            return await cls.sign_in(client, email, password)
        return cls(client, password, decoded(reply.raw, Session))

    @classmethod
    async def sign_in(cls, client: Client, email: str, password: str) -> Account:
        """Signs in to an existing account.

        Raises:
            ProblemError: 401 `bad_credentials`, or another refusal.
            UnansweredError: no answer.
        """
        return cls(client, password, await _signed_in(client, email, password))

    async def get(
        self,
        path: str,
        answer: type[T],
        query: Mapping[str, str] | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> T:
        """Reads one thing. Raises what `Client.request` raises."""
        return decoded((await self._call("GET", path, query=query, patience_seconds=patience_seconds)).raw, answer)

    async def make(
        self,
        path: str,
        body: object,
        answer: type[T],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> T:
        """Makes one thing, once however often the request must be repeated. Raises what `Client.request` raises."""
        key = uuid.uuid4().hex
        reply = await self._call("POST", path, body=body, idempotency_key=key, patience_seconds=patience_seconds)
        return decoded(reply.raw, answer)

    async def make_once(self, path: str, body: object, idempotency_key: str) -> bool:
        """Makes one thing, unless that was done under this key before; whether it was made now.

        Raises what `Client.request` raises.
        """
        return not (await self._call("POST", path, body=body, idempotency_key=idempotency_key)).replayed

    async def change(self, path: str, body: object) -> None:
        """Edits one thing. Raises what `Client.request` raises."""
        await self._call("PATCH", path, body=body, repeatable=True)

    async def delete(self, path: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Deletes or cancels one thing. Raises what `Client.request` raises.

        Not repeated without an answer: a second attempt would be answered with an error.
        """
        await self._call("DELETE", path, patience_seconds=patience_seconds)

    async def pages(self, path: str, item: type[T]) -> AsyncIterator[T]:
        """Every entry of a list, page by page. Raises what `Client.request` raises."""
        query = {"limit": PAGE_LIMIT}
        for _ in range(MAX_PAGES):
            page = await self.get(path, _Page, query)
            for raw in page.items:
                yield decoded(bytes(raw), item)
            if page.next_cursor is None:
                return
            query = {"limit": PAGE_LIMIT, "cursor": page.next_cursor}
        raise ClientError(f"{path} has more than {MAX_PAGES} pages")

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        repeatable: bool | None = None,
    ) -> Reply:
        async def ask(token: str) -> Reply:
            return await self._client.request(
                method,
                path,
                body=body,
                query=query,
                token=token,
                idempotency_key=idempotency_key,
                patience_seconds=patience_seconds,
                repeatable=repeatable,
            )

        token = self._session.access_token
        try:
            return await ask(token)
        except ProblemError as problem:
            if problem.status != UNAUTHENTICATED:
                raise
        await self._renew(token)
        return await ask(self._session.access_token)

    async def _renew(self, old_token: str) -> None:
        """A new access token: by the refresh token, or by the password when that has ended too."""
        async with self._renewing:
            if self._session.access_token != old_token:
                return  # another task did it meanwhile
            body = {"refresh_token": self._session.refresh_token}
            try:
                # Not repeatable: a refresh token that is used twice ends the whole family.
                reply = await self._client.request("POST", "/users/refresh", body=body)
            except ClientError:
                self._session = await _signed_in(self._client, self.email, self._password)
            else:
                self._session = decoded(reply.raw, Session)


async def _signed_in(client: Client, email: str, password: str) -> Session:
    body = {"email": email, "password": password}
    return decoded((await client.request("POST", "/users/signin", body=body, repeatable=True)).raw, Session)

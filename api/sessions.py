"""Sessions that ended while their access tokens are still good: what makes signing out work at once, everywhere."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from time import monotonic
from uuid import UUID

import psycopg

from adapters.accounts import Accounts

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""An ended session ends on every other process within this, and a query."""

SPREAD_SECONDS = POLL_SECONDS + 0.1
"""By then the other processes have looked, unless the database keeps them waiting."""

OVERLAP = timedelta(seconds=20)
"""Read again each time: `ended_at` is written before its transaction commits, by less than a statement's timeout."""

CLOCK_SLACK = timedelta(minutes=15)
"""The database's clock is not ours: the first look goes back further by so much; what is known is kept by our own."""

PAGE, MAX_PAGES = 10_000, 100
"""Bounds one poll; a million sessions that ended within minutes is somebody ending all of them at once."""


class EndedSessions:
    """The ended sessions that could still be asked about. Used on one event loop."""

    def __init__(self, accounts: Accounts, token_lifetime: timedelta, *, others: bool) -> None:
        """`others`: whether other processes share the port, so that the next request may reach one of them."""
        self._accounts = accounts
        self._others = others
        self._kept_seconds = (token_lifetime + OVERLAP).total_seconds()
        self._first_look = token_lifetime + CLOCK_SLACK
        self._ended: OrderedDict[UUID, float] = OrderedDict()
        """Session → when this process came to know of its end (monotonic seconds), the oldest first."""
        self._seen: datetime | None = None

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._ended

    def end(self, session_id: UUID) -> None:
        """Takes down at once what this process itself has ended."""
        self._ended.setdefault(session_id, monotonic())

    async def spread(self) -> None:
        """Returns when what has ended has ended on every process that shares the port: who is told so may rely on it.

        Raises:
            psycopg.OperationalError: the database does not answer.
        """
        await self.poll()
        if self._others:
            await asyncio.sleep(SPREAD_SECONDS)

    async def poll(self) -> None:
        """Reads what ended since the last time. Raises `psycopg.OperationalError`."""
        since = datetime.now(UTC) - self._first_look if self._seen is None else self._seen - OVERLAP
        for _ in range(MAX_PAGES):
            page = await self._accounts.ended_since(since, PAGE)
            for session_id, _ in page:
                self.end(session_id)
            if page:
                since = page[-1][1]
                self._seen = since if self._seen is None else max(since, self._seen)
            if len(page) < PAGE:
                break
        self._forget()

    async def run(self) -> None:
        """Polls until cancelled. A database that is away is said once, and waited for."""
        away = False
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.poll()
                away = False
            except psycopg.OperationalError as error:
                if not away:
                    log.warning("ended sessions cannot be read: %s", type(error).__name__)
                away = True

    def _forget(self) -> None:
        """Drops sessions whose last access token has expired by itself."""
        before = monotonic() - self._kept_seconds
        while self._ended:
            session_id, known_at = next(iter(self._ended.items()))
            if known_at >= before:
                break
            del self._ended[session_id]

"""Delivers events to the webhook endpoint, signed as Stripe signs them.

A delivery is a row that is written with its event and deleted when the endpoint has answered 2xx, so what is pending
survives a restart. At least once, and in no promised order, as at Stripe.

Bounds: CONCURRENCY deliveries at a time, each at most TIMEOUT_SECONDS. A refused one is tried again after 0.5 s, 1 s,
2 s … up to MAX_RETRY_SECONDS apart, MAX_ATTEMPTS times in all (about 75 minutes), then given up and counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from contextlib import suppress
from typing import NamedTuple

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from sandbox.events import Events
from sandbox.faults import Faults
from sandbox.store import Store, StoreError

CONCURRENCY = 64
"""Eight fell behind as soon as a hundred orders a second were paid: a busy endpoint answers late."""
TIMEOUT_SECONDS = 10.0
FIRST_RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 300.0
MAX_ATTEMPTS = 24
REVERSED_GROUP = 10
"""With `webhook_reverse_order`: as many events as are sent in one group …"""
REVERSED_WAIT_SECONDS = 0.5
"""… or those that came within this time of the first one."""
_IDLE_SECONDS = 60.0
"""The longest sleep: only a guard, since every commit, delivery and switch wakes the deliverer."""
_STORE_RETRY_SECONDS = 1.0

log = logging.getLogger("sandbox")


class _Due(NamedTuple):
    sequence: int
    attempts: int
    due_at: float


def signature(body: str, secret: str, timestamp: int) -> str:
    """The `Stripe-Signature` header (docs.stripe.com/webhooks/signature): HMAC-SHA256 over "timestamp.body"."""
    mac = hmac.new(secret.encode(), f"{timestamp}.{body}".encode(), hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"


def retry_seconds(attempts: int) -> float:
    """The wait after this many failed attempts."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** (attempts - 1), MAX_RETRY_SECONDS)


class Deliverer:
    """Sends what is due to one endpoint."""

    def __init__(self, store: Store, events: Events, faults: Faults, url: str, secret: str) -> None:
        self._store = store
        self._events = events
        self._faults = faults
        self._url = url
        self._secret = secret
        self._wake = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        store.on_commit(self._wake.set)
        faults.on_change(self._wake.set)

    async def run(self) -> None:
        """Delivers until cancelled."""
        connector = TCPConnector(limit=CONCURRENCY)
        timeout = ClientTimeout(total=TIMEOUT_SECONDS)
        async with ClientSession(connector=connector, timeout=timeout, cookie_jar=DummyCookieJar()) as http:
            try:
                while True:
                    self._wake.clear()
                    try:
                        sleep_seconds = self._start_due(http)
                    except StoreError as error:
                        log.error("what is to be delivered cannot be read: %s", error)
                        sleep_seconds = _STORE_RETRY_SECONDS
                    with suppress(TimeoutError):
                        async with asyncio.timeout(sleep_seconds):
                            await self._wake.wait()
            finally:
                for task in self._tasks.values():
                    task.cancel()
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _start_due(self, http: ClientSession) -> float:
        """Starts what is due now, as far as the bounds allow. Returns the seconds until there may be more."""
        switches = self._faults.now
        if switches.webhooks_paused:
            return _IDLE_SECONDS
        now = time.time() - switches.webhook_delay_ms / 1000
        if switches.webhook_reverse_order:
            return self._start_reversed(http, now)
        free = CONCURRENCY - len(self._tasks)
        if free <= 0:
            return _IDLE_SECONDS
        # What is being sent is still due: ask for that many more.
        pending = [due for due in self._pending(free + len(self._tasks)) if due.sequence not in self._tasks]
        for due in pending:
            if due.due_at > now:
                return due.due_at - now
            self._start(http, [due])
        return _IDLE_SECONDS

    def _start_reversed(self, http: ClientSession, now: float) -> float:
        if self._tasks:
            return _IDLE_SECONDS
        group = [due for due in self._pending(REVERSED_GROUP) if due.due_at <= now]
        if not group:
            return REVERSED_WAIT_SECONDS
        missing_seconds = group[0].due_at + REVERSED_WAIT_SECONDS - now
        if len(group) < REVERSED_GROUP and missing_seconds > 0:
            return missing_seconds
        self._start(http, sorted(group, reverse=True))
        return _IDLE_SECONDS

    def _pending(self, limit: int) -> list[_Due]:
        rows = self._store.read(
            "SELECT sequence, attempts, due_at FROM deliveries ORDER BY due_at, sequence LIMIT ?", (limit,)
        )
        return [_Due(*row) for row in rows]

    def _start(self, http: ClientSession, in_order: list[_Due]) -> None:
        task = asyncio.create_task(self._deliver_all(http, in_order))
        key = in_order[0].sequence
        self._tasks[key] = task

        def finished(_: asyncio.Task[None]) -> None:
            del self._tasks[key]
            self._wake.set()

        task.add_done_callback(finished)

    async def _deliver_all(self, http: ClientSession, in_order: list[_Due]) -> None:
        try:
            # The rows were read in the middle of a transaction perhaps: nothing is told that could still be undone.
            await self._store.committed()
            for due in in_order:
                await self._deliver(http, due)
        except StoreError as error:
            log.error("a delivery could not be recorded, it will be repeated: %s", error)
            await asyncio.sleep(_STORE_RETRY_SECONDS)

    async def _deliver(self, http: ClientSession, due: _Due) -> None:
        rows = self._store.read("SELECT record FROM events WHERE sequence = ?", (due.sequence,))
        if not rows:
            return  # what was read before has been undone since
        body = rows[0][0]
        taken = await self._send(http, body)
        if taken and self._faults.now.webhook_twice:
            await self._send(http, body)
        with self._store.unit():
            self._record(due, taken)

    def _record(self, due: _Due, taken: bool) -> None:
        attempts = due.attempts + 1
        if taken or attempts >= MAX_ATTEMPTS:
            self._events.delivered(due.sequence)
            self._store.count("webhooks.delivered" if taken else "webhooks.given_up")
        else:
            self._store.write(
                "UPDATE deliveries SET attempts = ?, due_at = ? WHERE sequence = ?",
                (attempts, time.time() + retry_seconds(attempts), due.sequence),
            )
        if not taken:
            self._store.count("webhooks.failed_attempts")

    async def _send(self, http: ClientSession, body: str) -> bool:
        """One request to the endpoint: whether it answered 2xx in time."""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(body, self._secret, int(time.time())),
            "User-Agent": "Stripe/1.0 (Stagedoor sandbox)",
        }
        try:
            async with http.post(self._url, data=body.encode(), headers=headers, allow_redirects=False) as answer:
                return 200 <= answer.status < 300  # noqa: PLR2004 - HTTP's class of success
        except (ClientError, OSError, TimeoutError):
            return False

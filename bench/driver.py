"""The load driver: HTTP/1.1 requests over kept connections, from a process of its own.

Closed loop (`rate` None): every connection sends its next request when the last one is answered. Open loop: request
number i is due `i / rate` seconds after the start, whether the server keeps up or not, and its latency counts from
then, so that a server that stalls is charged for everybody who would have come meanwhile (no coordinated omission).
`rate` infinite: all are due at once.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import uvloop

PACE_SECONDS = 0.001
"""How often the open loop looks what is due."""

STATUS = slice(9, 12)
UNAVAILABLE = 503
_HEAD_END, _LENGTH, _RETRY_AFTER = b"\r\n\r\n", b"content-length: ", b"\r\nretry-after: "

Requests = Callable[[int], bytes]
"""The bytes of request number i. Goes to another process, so it must be picklable."""


@dataclass(frozen=True)
class Load:
    """What to send where. Ends after `count` requests or `seconds`, whichever comes first."""

    url: str
    connections: int
    requests: Requests
    seconds: float = 60.0
    count: int = 10**9
    rate: float | None = None
    """Requests a second that are due; None for a closed loop."""
    grace_seconds: float = 30.0
    """How long answers may take after the last request was due; what comes later counts as never answered."""


@dataclass
class Outcome:
    """What came of a load."""

    started_at: float
    """Of the monotonic clock, which all processes of a machine share."""
    elapsed_seconds: float = 0.0
    """Until the last answer."""
    statuses: Counter[int] = field(default_factory=Counter)
    """Answers by status; 0 counts connections that broke, -1 requests never answered."""
    answers: array[int] = field(default_factory=lambda: array("h"))
    """Statuses, in the order of the answers."""
    latencies: array[float] = field(default_factory=lambda: array("d"))
    """Seconds, in the same order."""
    finished: array[float] = field(default_factory=lambda: array("d"))
    """Seconds after the start, in the same order."""
    bare_refusals: int = 0
    """Answers 503 that do not say when to come again (`Retry-After`)."""
    driver_cpu_share: float = 0.0
    """Of one processor that the driver itself used: at 1 it measures itself."""

    @property
    def answered(self) -> int:
        return len(self.latencies)

    @property
    def per_second(self) -> float:
        return self.answered / self.elapsed_seconds

    def percentile_ms(self, percent: float) -> float:
        """Milliseconds within which `percent` of the answers came."""
        return percentile_ms(self.latencies, percent)

    def only(self, *statuses: int) -> Outcome:
        """Itself, if nothing but these came.

        Raises:
            RuntimeError: something else did.
        """
        if other := {status: count for status, count in self.statuses.items() if status not in statuses}:
            raise RuntimeError(f"unexpected answers by status: {other}")
        return self


def percentile_ms(seconds: Sequence[float], percent: float) -> float:
    """Milliseconds that `percent` of these do not exceed; not a number for none."""
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def drive(load: Load) -> Outcome:
    """Sends a load from a process of its own and waits for its end.

    Raises:
        OSError: nothing listens there.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(drive_here, load).result()


def drive_here(load: Load) -> Outcome:
    """The same in this process."""
    return uvloop.run(_Driver(load).run())


class _Driver:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.outcome = Outcome(0.0)
        self._sent = 0
        self._due: deque[tuple[int, float]] = deque()
        self._idle: list[_Connection] = []
        self._open = 0
        self._lost = 0
        self._closing = False
        self._over: asyncio.Event

    async def run(self) -> Outcome:
        self._over = asyncio.Event()
        loop = asyncio.get_running_loop()
        address = urlsplit(self.load.url)
        for _ in range(self.load.connections):
            await loop.create_connection(lambda: _Connection(self), address.hostname or "", address.port or 80)
        before = _cpu_seconds()
        began = self.outcome.started_at = time.monotonic()
        if self.load.rate is None:
            for _ in range(len(self._idle)):
                self.next(self._idle.pop())
            limit = self.load.seconds + self.load.grace_seconds
        else:
            await self._pace(self.load.rate)
            limit = self.load.grace_seconds
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), limit)
        if unanswered := self._sent + len(self._due) - self.outcome.answered:
            self.outcome.statuses[-1] = unanswered
        elapsed = time.monotonic() - began
        self.outcome.elapsed_seconds = max(self.outcome.finished, default=elapsed)
        self.outcome.driver_cpu_share = (_cpu_seconds() - before) / elapsed
        return self.outcome

    async def _pace(self, rate: float) -> None:
        began = self.outcome.started_at
        most = min(self.load.count, int(self.load.seconds * rate) if rate != float("inf") else self.load.count)
        due = 0
        while due < most:
            now = time.monotonic()
            until = most if rate == float("inf") else min(most, int((now - began) * rate) + 1)
            self._due.extend(
                (number, began + (0.0 if rate == float("inf") else number / rate)) for number in range(due, until)
            )
            due = until
            while self._due and self._idle:
                self._idle.pop().send(*self._due.popleft())
            await asyncio.sleep(PACE_SECONDS)
        self._closing = True
        self._check_over()

    # Called by the connections ------------------------------------------------------------------------------------

    def opened(self, connection: _Connection) -> None:
        self._open += 1
        self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        self._open -= 1
        self.outcome.statuses[0] += 1
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.waiting:
            self._lost += 1
            self._check_over()
        if not self._open:
            self._over.set()

    def answered(self, connection: _Connection, status: int, due_at: float) -> None:
        now = time.monotonic()
        outcome = self.outcome
        outcome.statuses[status] += 1
        outcome.answers.append(status)
        outcome.latencies.append(now - due_at)
        outcome.finished.append(now - outcome.started_at)
        if self.load.rate is None:
            self.next(connection)
        elif self._due:
            connection.send(*self._due.popleft())
        else:
            self._idle.append(connection)
            self._check_over()

    def next(self, connection: _Connection) -> None:
        now = time.monotonic()
        if self._sent >= self.load.count or now - self.outcome.started_at >= self.load.seconds:
            self._closing = True
            self._check_over()
        else:
            connection.send(self._sent, now)

    def note_sent(self) -> None:
        self._sent += 1

    def _check_over(self) -> None:
        if self._closing and self.outcome.answered + self._lost >= self._sent and not self._due:
            self._over.set()


class _Connection(asyncio.Protocol):
    __slots__ = ("_driver", "_due_at", "_rest", "_transport", "waiting")

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver
        self.waiting = False
        """For an answer."""
        self._rest = b""
        self._due_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._driver.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._driver.lost(self)

    def send(self, number: int, due_at: float) -> None:
        self._due_at = due_at
        self.waiting = True
        self._driver.note_sent()
        self._transport.write(self._driver.load.requests(number))

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        end = data.find(_HEAD_END)
        if end < 0 or len(data) < end + 4 + _content_length(data, end):
            self._rest = data
            return
        self._rest = b""
        self.waiting = False
        status = int(data[STATUS])
        if status == UNAVAILABLE and _RETRY_AFTER not in data[:end].lower():
            self._driver.outcome.bare_refusals += 1
        self._driver.answered(self, status, self._due_at)


def _content_length(data: bytes, end: int) -> int:
    head = data[:end].lower()
    at = head.find(_LENGTH)
    return int(head[at + len(_LENGTH) :].split(b"\r", 1)[0]) if at >= 0 else 0


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

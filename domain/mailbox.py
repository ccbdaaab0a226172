"""Bounded mailboxes: what waits for an aggregate, and for the whole process.

A hot listing gets one slot a buyer; beyond the bound a buyer is told to come back (503 with Retry-After) while the
answer still costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection
from itertools import islice
from time import monotonic
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from domain.errors import Busy

MAX_WAITING_PER_AGGREGATE = 10_000
"""At the measured thousands of orders a second this is about two seconds of waiting."""

MAX_WAITING = 30_000
"""Bounds the memory of one process, a few kilobytes a command."""

IDLE_TURNS = 2
"""Of the event loop: a request is read in one and becomes a command in the next."""

WHOLE_BATCH = 32
"""Up to so many messages are taken all together, and so many need not wait for more; see `_share` in `domain/actors.py`
for what happens beyond."""

ENOUGH, BATCH_SECONDS = 16, 0.004
"""A batch costs as much as several commands, however few are in it. So where several people want something at once, the
next one begins when so many wait, or so long after the last one began: at half of what a process can do the batches
would be of one or two else. Who is alone does not wait."""


class Addressed(Protocol):
    """A message that knows whom it is for."""

    @property
    def addressees(self) -> Collection[UUID]: ...


M = TypeVar("M", bound=Addressed)


class Mailboxes(Generic[M]):
    """One first-in-first-out queue in which every aggregate's share is bounded. Used on one event loop."""

    def __init__(self, per_aggregate: int = MAX_WAITING_PER_AGGREGATE, total: int = MAX_WAITING) -> None:
        self._per_aggregate = per_aggregate
        self._total = total
        self._waiting: deque[M] = deque()
        self._counts: Counter[UUID] = Counter()
        self._changed = asyncio.Event()
        self._enough = asyncio.Event()
        self._taken, self._taken_at = 0, 0.0
        """How many the last batch began with, and when."""
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: M) -> None:
        """Queues a message.

        Raises:
            Busy: a mailbox it goes to, or the process, is full, or closing.
        """
        if self._closed or len(self._waiting) >= self._total:
            raise Busy("too many commands are waiting")
        counts = self._counts
        if any(counts[aggregate_id] >= self._per_aggregate for aggregate_id in message.addressees):
            raise Busy("too many people want the same thing at once")
        for aggregate_id in message.addressees:
            counts[aggregate_id] += 1
        self._waiting.append(message)
        self._changed.set()
        if len(self._waiting) >= ENOUGH:
            self._enough.set()

    def take(self, most: int) -> list[M]:
        """Takes up to `most` messages, oldest first, without waiting."""
        counts = self._counts
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        for message in taken:
            for aggregate_id in message.addressees:
                if counts[aggregate_id] == 1:
                    del counts[aggregate_id]
                else:
                    counts[aggregate_id] -= 1
        return taken

    def coming(self, most: int) -> list[M]:
        """The messages that will be taken next, up to so many."""
        return list(islice(self._waiting, most))

    async def wait_and_take(self, share: Callable[[int], int]) -> list[M]:
        """Waits for a message, lets those come that are on their way, then takes as many as `share` says of so many
        that wait; an empty list means closed and drained."""
        while not self._waiting and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        if self._taken > 1:
            await self._wait_for_enough()
        await self._gather()
        taken = self.take(share(len(self._waiting)))
        self._taken, self._taken_at = len(taken), monotonic()
        return taken

    async def _wait_for_enough(self) -> None:
        """Ends when `ENOUGH` wait or the last batch is `BATCH_SECONDS` ago."""
        left_seconds = self._taken_at + BATCH_SECONDS - monotonic()
        if left_seconds > 0 and len(self._waiting) < ENOUGH and not self._closed:
            self._enough.clear()
            timer = asyncio.get_running_loop().call_later(left_seconds, self._enough.set)
            await self._enough.wait()
            timer.cancel()

    async def _gather(self) -> None:
        """Lets the loop read what has already arrived: ends when `IDLE_TURNS` turns in a row bring nothing more."""
        left = IDLE_TURNS
        while left and len(self._waiting) < WHOLE_BATCH and not self._closed:
            known = len(self._waiting)
            await asyncio.sleep(0)
            left = IDLE_TURNS if len(self._waiting) > known else left - 1

    def close(self) -> None:
        """Takes no more messages; what waits is still handed out."""
        self._closed = True
        self._changed.set()
        self._enough.set()

"""Reads that are shared: in an on-sale thousands ask the same question at once, and one look answers all of them.

An answer always comes of a look that was begun after it was asked for, so nobody is told what was true before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar, cast

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedReads(Generic[K, V]):
    """Reads by key: who asks for what is waited for already shares it, and one look takes many keys. Used on one event
    loop."""

    def __init__(
        self, look: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, at_once: int, keys_in_a_look: int
    ) -> None:
        """
        Args:
            look: reads these keys; what is not there is left out. What it raises, everybody who shares it gets.
            at_once: looks under way together.
        """
        self._look = look
        self._at_once = at_once
        self._keys_in_a_look = keys_in_a_look
        self._wanted: dict[K, asyncio.Future[V | None]] = {}
        self._looking: set[asyncio.Task[None]] = set()

    async def read(self, key: K) -> V | None:
        """What is there under the key; None if nothing is."""
        shared = self._wanted.get(key)
        if shared is None:
            shared = self._wanted[key] = asyncio.get_running_loop().create_future()
            if len(self._looking) < self._at_once:
                self._looking.add(asyncio.create_task(self._answer()))
        return await asyncio.shield(shared)

    async def _answer(self) -> None:
        while self._wanted:
            await self._gather()
            keys = list(islice(self._wanted, self._keys_in_a_look))
            if not keys:  # another look has taken them
                break
            shared = {key: self._wanted.pop(key) for key in keys}
            try:
                found = await self._look(keys)
            except Exception as error:  # noqa: BLE001 - it is theirs who asked
                for future in shared.values():
                    future.set_exception(error)
                    future.exception()  # those who asked may be gone
            else:
                for key, future in shared.items():
                    future.set_result(found.get(key))
        # In the same step that found nothing more wanted: whoever asks from now on begins a look.
        self._looking.remove(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _gather(self) -> None:
        """Lets those ask whose requests have arrived: ends when a turn of the event loop brings no more, or enough."""
        known = 0
        while known < min(len(self._wanted), self._keys_in_a_look):
            known = len(self._wanted)
            await asyncio.sleep(0)

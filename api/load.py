"""Load is shed before it costs memory: beyond a bound one is told at once to come again (503 with Retry-After)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

from domain.errors import Busy

MAX_REQUESTS = 5_000
"""Requests under way in one process, some twenty kilobytes each; a second's worth of orders, so that nobody waits for
much longer than it takes to be told so."""

MAX_BODIES = 500
"""Bodies still on their way, of up to 64 KiB. Those of good clients come with the headers or a moment later."""

MAX_VERSION_WAITS = 200
"""Readers who wait for a version (`min_version`); each looks fifty times a second. Others are answered from the log."""


class Load:
    """So many at once: `with load:` around each. Used on one event loop."""

    def __init__(self, most: int, refusal: str) -> None:
        self._most = most
        self._refusal = refusal
        self.under_way = 0

    @property
    def is_full(self) -> bool:
        return self.under_way >= self._most

    def __enter__(self) -> None:
        if self.is_full:
            raise Busy(self._refusal)
        self.under_way += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.under_way -= 1


class Arrivals:
    """What is waited for from clients, so much at once. Used on one event loop.

    Beyond the bound nobody is turned away who has just come: the one that was waited for longest is given up. So who
    sends byte by byte loses the place to who does not.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waits: OrderedDict[asyncio.Timeout, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waits)

    @asynccontextmanager
    async def wait(self, seconds: float) -> AsyncIterator[None]:
        """Waits for the `with` block.

        Raises:
            TimeoutError: it took too long, or others needed the place.
        """
        async with asyncio.timeout(seconds) as wait:
            if len(self._waits) >= self._most:
                oldest, _ = self._waits.popitem(last=False)
                oldest.reschedule(asyncio.get_running_loop().time())
            self._waits[wait] = None
            try:
                yield
            finally:
                self._waits.pop(wait, None)

"""Ends what runs beside."""

from __future__ import annotations

import asyncio

AGAIN_SECONDS = 0.5


async def end(task: asyncio.Task[None]) -> None:
    """Cancels a task until it has ended; raises what it failed with.

    Once may not do: what waits for a connection of psycopg's pool and is dealt one in the same moment goes on with it,
    and before Python 3.12 so does whatever waits by `asyncio.wait_for` (python/cpython#86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)
    if not task.cancelled():
        task.result()

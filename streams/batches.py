"""Batches of a Faust stream: whatever has come while the last one was being applied.

Unlike Faust's `take`, what comes is handed on at once, and nothing is acknowledged here: `take` acknowledges its batch
also when the worker is stopped in the middle of it. How much comes at once is decided in `streams/transport.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any


async def batches(stream: Any, most: int) -> AsyncIterator[list[Any]]:
    """Yields lists of Faust events, a `streams.transport.Bundle` each, to be acknowledged by the one who takes them.

    Args:
        most: records in a list, as far as bundles are not divided.
    """
    waiting = stream.channel.queue
    events = aiter(stream.noack().events())
    async for event in events:
        batch = [event]
        count = len(event.message.records)
        while count < most and not waiting.empty():
            batch.append(await anext(events))
            count += len(batch[-1].message.records)
        yield batch

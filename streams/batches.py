"""Batches of a Faust stream: whatever has come while the last one was being applied.

Unlike Faust's `take`, a lone bundle is handed on at once, the wait between batches is bounded from below rather than
added to each, and nothing is acknowledged here: `take` acknowledges its batch also when the worker is stopped in the
middle of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any


async def batches(
    stream: Any, most: int, *, gather_seconds: float, longest_gather_seconds: float
) -> AsyncIterator[list[Any]]:
    """Yields lists of Faust events, a `streams.transport.Bundle` each, to be acknowledged by the one who takes them.

    After a list the next one gathers, the longer the more records there were: the busier everything is, the larger the
    batches get, and the less each event costs.

    Args:
        most: records in a list, as far as bundles are not divided.
        gather_seconds: for each record.
    """
    waiting = stream.channel.queue
    resume_at = 0.0
    events = aiter(stream.noack().events())
    async for event in events:
        await asyncio.sleep(resume_at - monotonic())  # a negative time is none
        batch = [event]
        count = len(event.message.records)
        while count < most and not waiting.empty():
            batch.append(await anext(events))
            count += len(batch[-1].message.records)
        yield batch
        resume_at = monotonic() + min(count * gather_seconds, longest_gather_seconds)

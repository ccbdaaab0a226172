from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from adapters.tasks import end


async def test_a_task_that_lost_its_cancellation_ends_all_the_same() -> None:
    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await asyncio.wait_for(end(task), 5)
    assert task.cancelled()


async def test_what_it_failed_with_is_said() -> None:
    async def failing() -> None:
        raise ValueError("it failed")

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="it failed"):
        await end(task)

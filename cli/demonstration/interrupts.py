"""Ctrl-C while the demo runs: the first ends the buying, the second the waiting, the third the program."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupts:
    """`stop`: begin nothing new. `hurry`: wait for nothing any more."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes SIGINT and SIGTERM over from the running loop."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def interrupted() -> None:
            if not self.stop.is_set():
                self.stop.set()
            elif not self.hurry.is_set():
                self.hurry.set()
            else:
                task.cancel()

        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, interrupted)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


async def pause(seconds: float, sooner: asyncio.Event) -> None:
    """Waits, but not longer than until `sooner` is set."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await sooner.wait()
    except TimeoutError:
        pass

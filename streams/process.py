"""How a part of `streams` runs as a process: logging, signals, a bounded end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import uvloop

from adapters import logs
from streams.heartbeat import beat

STOP_SECONDS = 10.0
"""For finishing what is under way; whatever is cut off is done again from the log."""

GC_THRESHOLD = 50_000
"""Events come by the thousand, live for milliseconds and have no cycles: looking for some costs a fifth of the time."""

log = logging.getLogger(__name__)


Serve = Callable[[asyncio.Event, asyncio.Event], Awaitable[None]]
"""Is told by the first event that a stop was asked for, and returns soon after it; tells by the second one that its
work has begun."""


def run_process(name: str, serve: Serve, *, heartbeat_file: Path | None = None) -> None:
    """Runs `serve` on an event loop of its own until SIGTERM or SIGINT.

    Args:
        heartbeat_file: is touched every few seconds from when the work has begun.
    """
    logs.configure()
    # It tells every refused connection, ten times a second; what matters is told by us.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    gc.set_threshold(GC_THRESHOLD)
    uvloop.run(_run(name, serve, heartbeat_file))


def give_up(code: int) -> NoReturn:
    """Ends this process at once. Nothing is lost by it, and threads that hang cannot hold it up."""
    logging.shutdown()
    os._exit(code)


async def _run(name: str, serve: Serve, heartbeat_file: Path | None) -> None:
    stop, begun = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log.info("%s started", name)
    beating = None if heartbeat_file is None else asyncio.ensure_future(beat(heartbeat_file, begun))
    serving = asyncio.ensure_future(serve(stop, begun))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        log.info("%s is stopping", name)
        await asyncio.wait([serving], timeout=STOP_SECONDS)
    if not serving.done():
        log.warning("%s did not finish within %.0f s and is cut off", name, STOP_SECONDS)
        give_up(0)
    if beating is not None:
        beating.cancel()
    serving.result()

"""Shows that a process without a port has begun its work and still turns: it touches a file again and again, and a
health check looks at its age. Of the work itself it tells no more: how far that is stands in `/readyz` and
`stagedoor status`.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

INTERVAL_SECONDS = 5.0

log = logging.getLogger(__name__)


async def beat(file: Path, begun: asyncio.Event) -> None:
    """Touches the file, once the work has begun, until cancelled; while that fails, the health check does too."""
    await begun.wait()
    was_told = False
    while True:
        try:
            file.touch()  # noqa: ASYNC240 - it is meant to show that this loop is not held up
        except OSError as error:
            if not was_told:
                log.error("no heartbeat: %s", error)
            was_told = True
        else:
            was_told = False
        await asyncio.sleep(INTERVAL_SECONDS)

"""One API process: listens, answers, and ends without dropping what it has taken on."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal

import uvloop
from aiohttp import web

from adapters import logs
from adapters.settings import Settings
from api.addresses import Addresses
from api.app import make_app
from api.connections import MAX_PER_ADDRESS, Connections, bound_receiving
from api.protocol import Protocol

log = logging.getLogger(__name__)

BACKLOG = 2_048
"""Connections the kernel may hold until they are accepted: the first second of an on-sale."""

GC_THRESHOLDS = (10_000, 500, 100)
"""Requests leave next to no cycles; at Python's own thresholds looking for some took a tenth of the time, and a whole
look (tens of milliseconds among twenty thousand aggregates) came every few seconds. The small looks are small: one at
50,000 objects stopped everybody for twenty milliseconds."""

SHUTDOWN_SECONDS = 10.0
"""How long running requests may take to end. A payment that is cut here goes on with the same key."""


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then stops accepting, finishes what runs, stores what was decided, and ends.

    Several processes may share the port (`api_processes`); the kernel deals out connections among them.

    Raises:
        SettingsError: a setting is missing, or the database has no schema.
        OSError: the port is taken.
        psycopg.OperationalError: the database does not answer.
    """
    logs.configure()
    gc.set_threshold(*GC_THRESHOLDS)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    per_address = MAX_PER_ADDRESS if settings.rate_limit else None
    connections = Connections(Addresses(settings.trusted_proxies), per_address=per_address)
    runner = web.AppRunner(make_app(settings), shutdown_timeout=SHUTDOWN_SECONDS)
    try:
        await runner.setup()
        server = runner.server
        assert server is not None
        listening = await loop.create_server(
            lambda: Protocol(server, loop, connections),
            settings.host,
            settings.port,
            backlog=BACKLOG,
            reuse_address=True,
            # Alone, a port that somebody else has is an error and no partnership.
            reuse_port=settings.api_processes > 1,
        )
        bound_receiving(listening)
        watching = loop.create_task(connections.watch())
        log.info("listening on %s, port %d", settings.host, settings.port)
        await stop.wait()
        log.info("stopping")
        listening.close()
        watching.cancel()
    finally:
        await runner.cleanup()

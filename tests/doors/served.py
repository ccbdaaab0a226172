"""A house as `stagedoor api` serves it, with the protocol that has the API's own bounds, in the test's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from adapters.settings import Settings
from api.addresses import Addresses
from api.app import make_app
from api.connections import Connections
from api.protocol import Protocol
from api.services import SERVICES
from tests.api.house import House

PROJECT_SECONDS = 0.5
"""How far the read models lag: what a list shows must be tried, too."""


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[House]:
    """Serves on a free port of loopback; brings the read models up to date from time to time."""
    loop = asyncio.get_running_loop()
    app = make_app(settings)
    runner = web.AppRunner(app)
    await runner.setup()
    server = runner.server
    assert server is not None
    connections = Connections(Addresses(settings.trusted_proxies))
    listening = await loop.create_server(lambda: Protocol(server, loop, connections), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        async with aiohttp.ClientSession() as session:
            house = House(session, url, app[SERVICES], settings.stripe_api_base or "")
            projecting = asyncio.create_task(_project(house))
            try:
                yield house
            finally:
                projecting.cancel()
    finally:
        listening.close()
        await runner.cleanup()


async def _project(house: House) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(PROJECT_SECONDS)
        if await house.services.log.end():
            await house.project()

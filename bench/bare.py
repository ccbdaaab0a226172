"""The limit beside every figure: a bare aiohttp server in one process that reads JSON and answers JSON."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

import uvloop
from aiohttp import web


async def hello_post(request: web.Request) -> web.Response:
    """POST: the least that an API does with a JSON body."""
    return web.json_response({"hello": (await request.json())["name"]}, status=201)


async def hello_get(_request: web.Request) -> web.Response:
    """GET: the least that an API does."""
    return web.json_response({"hello": "world"})


async def _serve() -> None:
    app = web.Application()
    app.add_routes([web.post("/hello", hello_post), web.get("/hello", hello_get)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


@contextmanager
def bare_server() -> Iterator[str]:
    """The URL of one that runs for the `with` block."""
    process = subprocess.Popen([sys.executable, "-m", "bench.bare"], stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{cast('IO[str]', process.stdout).readline().strip()}"
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    uvloop.run(_serve())

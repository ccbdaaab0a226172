"""What machines ask: does the process live, is it ready, how is it doing, which keys verify its tokens."""

from __future__ import annotations

import psycopg
from aiohttp import web

from adapters.database import pending_migrations
from api import machine_models
from api.answers import REVALIDATE, respond
from api.calls import Call
from api.metrics import CONTENT_TYPE
from api.problems import Refused
from api.progress import Lag, read_lags


async def alive(_: Call) -> web.Response:
    """GET /healthz: the event loop answers; nothing else is asked, so that a database away restarts nobody."""
    return respond(machine_models.Alive("ok"))


async def ready(call: Call) -> web.Response:
    """GET /readyz: orders can be taken. A read model that lags is told, and is no reason to take none."""
    services = call.services
    try:
        async with services.pool.connection() as connection:
            rows = await (await connection.execute("SELECT name FROM migrations")).fetchall()
    except psycopg.errors.UndefinedTable:
        raise Refused("unavailable", "the database has no schema") from None
    pending = pending_migrations({name for (name,) in rows})
    if pending:
        raise Refused("unavailable", f"{len(pending)} migrations are pending")
    end, lags = await read_lags(services.queries, services.log)
    return respond(machine_models.Ready("ready", end, [_view(lag) for lag in lags]))


async def metrics(call: Call) -> web.Response:
    """GET /metrics"""
    services = call.services
    try:
        _, lags = await read_lags(services.queries, services.log)
    except psycopg.OperationalError:
        lags = []
    return web.Response(body=services.metrics.exposition(lags), headers={"Content-Type": CONTENT_TYPE})


async def jwks(call: Call) -> web.Response:
    """GET /.well-known/jwks.json: the public keys, for other services that verify our access tokens."""
    return respond(call.services.keys.jwks(), cache=REVALIDATE)


def _view(lag: Lag) -> machine_models.Reader:
    return machine_models.Reader(lag.name, lag.position, lag.events, lag.seconds)

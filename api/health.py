"""What machines ask: does the process live, is it ready, how is it doing, which keys verify its tokens."""

from __future__ import annotations

import psycopg
from aiohttp import web

from adapters.database import pending_migrations
from adapters.house_key import is_foreign
from api import machine_models
from api.answers import REVALIDATE, respond
from api.calls import Call
from api.metrics import CONTENT_TYPE
from api.problems import Refused
from api.progress import Standing, read_standing


async def alive(_: Call) -> web.Response:
    """GET /healthz: the event loop answers; nothing else is asked, so that a database away restarts nobody."""
    return respond(machine_models.Alive("ok"))


async def ready(call: Call) -> web.Response:
    """GET /readyz: orders can be taken. What lags, is parked or stands still is told, and is no reason to take none."""
    services = call.services
    try:
        async with services.pool.connection() as connection:
            rows = await (await connection.execute("SELECT name FROM migrations")).fetchall()
            check = await (await connection.execute("SELECT check_value FROM house_key")).fetchone()
    except psycopg.errors.UndefinedTable:
        raise Refused("unavailable", "the database has no schema") from None
    pending = pending_migrations({name for (name,) in rows})
    if pending:
        raise Refused("unavailable", f"{len(pending)} migrations are pending")
    if is_foreign(services.house_key, None if check is None else check[0]):
        raise Refused("unavailable", "the database was sealed with another house key")
    return respond(_view(await read_standing(services.pool, services.log)))


async def metrics(call: Call) -> web.Response:
    """GET /metrics"""
    services = call.services
    try:
        standing = await read_standing(services.pool, services.log)
    except psycopg.OperationalError:
        standing = None
    return web.Response(body=services.metrics.exposition(standing), headers={"Content-Type": CONTENT_TYPE})


async def jwks(call: Call) -> web.Response:
    """GET /.well-known/jwks.json: the public keys, for other services that verify our access tokens."""
    return respond(call.services.keys.jwks(), cache=REVALIDATE)


def _view(standing: Standing) -> machine_models.Ready:
    readers = [
        machine_models.Reader(
            lag.name, lag.position, lag.events, lag.seconds, parked_events=standing.parked.get(lag.name, 0)
        )
        for lag in standing.readers
    ]
    return machine_models.Ready("ready", standing.log_end, standing.relay_trouble, readers)

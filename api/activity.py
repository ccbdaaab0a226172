"""How much is going on in the house, for its board. All of it could be added up from the listings, which are public."""

from __future__ import annotations

import time

from aiohttp import web

from api import machine_models
from api.answers import respond
from api.calls import Call


async def read(call: Call) -> web.Response:
    """GET /api/activity: all who ask within a second share a look."""
    found = await call.services.activity.read(int(time.time()))
    assert found is not None, "nothing going on is an answer"
    return respond(machine_models.Activity(found.orders_per_second, found.open_orders))

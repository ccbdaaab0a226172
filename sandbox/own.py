"""What the sandbox's own endpoints have in common: fields that are sent, work in one transaction, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from sandbox.errors import StripeError, server_error
from sandbox.store import Store, StoreError


async def fields(request: web.Request) -> dict[str, Any]:
    """The fields of a form or of a JSON object; empty when it is neither."""
    if request.content_type != "application/json":
        return dict(await request.post())
    try:
        sent = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return sent if isinstance(sent, dict) else {}


async def done(store: Store, work: Callable[[], web.Response]) -> web.Response:
    """The answer of `work`, which is done whole or not at all, once it is on disk; its error is an answer too."""
    try:
        with store.unit():
            answer = work()
        await store.committed()
    except StripeError as error:
        return problem(error)
    except StoreError:
        return problem(server_error())
    return answer


def bad(message: str) -> web.Response:
    """400: the request makes no sense."""
    return web.json_response({"error": {"message": message}}, status=400)


def problem(error: StripeError) -> web.Response:
    """The error as Stripe would answer it."""
    return web.json_response({"error": error.error}, status=error.status)

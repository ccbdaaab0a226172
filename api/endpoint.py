"""Makes an aiohttp handler of a line of the table, and the one middleware around all of them.

load ─ limits ─ token ─ key ─ body or query ─ handler ─ answer, or problem details
"""

from __future__ import annotations

import time

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from api import bodies, tracing
from api.auth import BadToken, bearer_token, unauthenticated
from api.browsers import protect
from api.calls import Call
from api.cors import Cors
from api.idempotency import key_of
from api.metrics import Metrics
from api.page_answers import trouble
from api.problems import response_to
from api.route import Access, Route
from api.services import SERVICES
from api.verification import require_verified


def endpoint(route: Route) -> Handler:
    """The handler of one route: nobody and nothing gets past what the table says."""
    decode = None if route.body is None else bodies.decoder_of(route.body)

    async def handle(request: web.Request) -> web.StreamResponse:
        call = Call(request, request.app[SERVICES])
        if not route.is_limited:
            return await serve(call)
        with call.services.requests:
            call.services.limits.check_address(call.remote)
            return await serve(call)

    async def serve(call: Call) -> web.StreamResponse:
        if route.access is not Access.ANYONE:
            await _identify(call, route)
        if route.needs_verified_email and call.services.settings.verified_email:
            await require_verified(call)
        if route.takes_key:
            call.key = key_of(call.request)
        if decode is not None:
            call.raw = await bodies.read(call.request, call.services.bodies)
            bodies.check_media_type(call.request, call.raw)
            return await route.handler(call, decode(call.raw))
        if route.takes_raw_body:
            call.raw = await bodies.read(call.request, call.services.bodies)
        elif route.query is not None:
            return await route.handler(call, bodies.query(call.request, route.query))
        return await route.handler(call)

    return _for_people(handle) if route.is_page else handle


def _for_people(handle: Handler) -> Handler:
    """The same, and what goes wrong is told as a page."""

    async def handle_page(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, people get a page that says so
            return trouble(request, error, request[tracing.TRACE])

    return handle_page


async def _identify(call: Call, route: Route) -> None:
    """Finds out who asks, where the route wants to know. Raises `Refused` (401, 429)."""
    token = bearer_token(call.request)
    if token is not None and route.access is not Access.STRIPE:
        try:
            call.principal = await call.services.tokens.principal(token)
        except BadToken as error:
            if route.access.needs_token:
                raise unauthenticated(str(error), token_given=True) from error
    if call.principal is not None:
        call.services.limits.check_account(call.principal.user_id)
    elif route.access.needs_token:
        raise unauthenticated("this needs an access token")


def _told(request: web.Request, error: Exception, trace: tracing.Trace) -> web.Response:
    """What went wrong, as problem details; as a page for a browser on a path that is no page and no part of the API."""
    if isinstance(error, web.HTTPNotFound) and "text/html" in request.headers.get(hdrs.ACCEPT, ""):
        return trouble(request, error, trace)
    return response_to(error, trace)


def edge(metrics: Metrics, cors: Cors) -> Middleware:
    """The middleware: every request gets an id, every error becomes problem details, every answer is counted."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        trace = tracing.begin(request)
        response: web.StreamResponse | None = cors.preflight(request)
        if response is None:
            try:
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - whatever it is, the client gets problem details
                response = _told(request, error, trace)
        response.headers["X-Request-Id"] = str(trace.correlation_id)
        protect(response)
        cors.allow(request, response)
        resource = request.match_info.route.resource
        pattern = "unmatched" if resource is None else resource.canonical
        method = request.method if resource is not None else "any"
        metrics.answered(method, pattern, response.status, time.perf_counter() - started)
        return response

    return middleware

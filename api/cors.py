"""Cross-origin requests (the Fetch standard): only the pages of the configured origins may read answers."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import hdrs, web

METHODS = "GET, POST, PATCH, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, traceparent"
EXPOSED_HEADERS = "ETag, Idempotent-Replayed, Location, Retry-After, WWW-Authenticate, X-Request-Id"
MAX_AGE_SECONDS = 600


class Cors:
    """The rules for `STAGEDOOR_CORS_ORIGINS`. Tokens travel in a header, so no credentials mode is needed."""

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = frozenset(origin.rstrip("/") for origin in origins)

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser's question beforehand; None when it is none, or of another origin."""
        if request.method != hdrs.METH_OPTIONS or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return None
        if request.headers.get(hdrs.ORIGIN) not in self._origins:
            return None
        return web.Response(
            status=204,
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: REQUEST_HEADERS,
                hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE_SECONDS),
            },
        )

    def allow(self, request: web.Request, response: web.StreamResponse) -> None:
        """Lets the page that asked read the response, if its origin may."""
        if not self._origins:
            return
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin in self._origins:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS

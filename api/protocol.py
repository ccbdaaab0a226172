"""One connection: aiohttp's own handling, with the bounds and the manners it leaves to us.

A connection that sends no whole request in time is closed, and what is no HTTP at all gets problem details, too.
"""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from api.endpoint import SERVER
from api.ids import new_id
from api.problems import problem, response_to
from api.tracing import Trace

log = logging.getLogger(__name__)

FIRST_REQUEST_SECONDS = 20.0
"""From the connection to the end of the first request's headers; later ones have `KEEPALIVE_SECONDS` for that."""

KEEPALIVE_SECONDS = 75.0
"""Longer than the proxies in front keep theirs (nginx: 60 s), so that none sends into a closing connection."""

LINGERING_SECONDS = 2.0
"""How long the rest of a refused body is read and thrown away, for the client to see the answer."""

MAX_LINE, MAX_HEADER, MAX_HEADERS = 8_190, 8_192, 64
"""Bytes of a request line, bytes of one header, and how many headers there may be. The parser names the bound that was
passed and not of what it is, hence two that differ."""


class Protocol(web.RequestHandler):
    """aiohttp's request handler for one connection."""

    __slots__ = ("_first_request",)

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None is how it is turned off
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGERING_SECONDS,
            max_line_size=MAX_LINE,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
        )
        self._first_request: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._first_request = self._loop.call_later(FIRST_REQUEST_SECONDS, self._close_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._first_request is not None:
            self._first_request.cancel()
        super().connection_lost(exc)

    def _close_if_silent(self) -> None:
        if self._request_count == 0:
            self.force_close()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends an answer. What aiohttp refuses before any middleware, such as an `Expect`, is told as a problem."""
        if isinstance(resp, web.HTTPException):
            trace = Trace(new_id(), None)
            resp = _signed(response_to(resp, trace), trace)
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Answers what could not be parsed, or an error outside every handler; closes the connection."""
        trace = Trace(new_id(), None)
        known = status < 500  # noqa: PLR2004 - the client's own mistake
        if not known:
            log.error("request %s failed outside its handler: %s", trace.correlation_id, type(exc).__name__)
        code, detail = _fault(exc) if known else ("internal_error", "it was reported under this answer's instance")
        response = _signed(problem(code, detail, trace).response(), trace)
        response.force_close()
        return response


def _signed(response: web.Response, trace: Trace) -> web.Response:
    """With the headers that every answer has."""
    response.headers["X-Request-Id"] = str(trace.correlation_id)
    response.headers["Server"] = SERVER
    return response


def _fault(error: BaseException | None) -> tuple[str, str]:
    """The code of what the parser refused, and its detail."""
    if isinstance(error, LineTooLong) and error.args[1] == MAX_LINE:
        return "uri_too_long", f"a request line has at most {MAX_LINE} bytes"
    if isinstance(error, LineTooLong):
        return "headers_too_large", f"a header has at most {MAX_HEADER} bytes"
    if isinstance(error, BadHttpMessage) and error.message.startswith("Too many headers"):
        return "headers_too_large", f"a request has at most {MAX_HEADERS} headers"
    return "bad_request", "the request cannot be parsed"

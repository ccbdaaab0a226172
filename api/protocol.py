"""One connection: aiohttp's own handling, with the bounds and the manners it leaves to us.

A connection that takes longer over something than it may is cut (`cut_if_late`); one that there is no room for is told
so; and what is no HTTP at all gets problem details, too.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from aiohttp import hdrs, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from api.bodies import MAX_BODY_BYTES
from api.browsers import protect
from api.connections import CROWDED_IDLE_SECONDS, Connections, Place
from api.ids import new_id
from api.pieces import PIECE_BYTES
from api.problems import RETRY_AFTER_SECONDS, problem, response_to
from api.tracing import Trace

log = logging.getLogger(__name__)

HEAD_SECONDS = 20.0
"""From the connection, or from the first byte of a later request, to the end of that request's head."""

KEEPALIVE_SECONDS = 75.0
"""Between two requests. Longer than the proxies in front keep theirs (nginx: 60 s), so that none sends into a closing
connection."""

WRITE_SECONDS = 20.0
"""How long a client may take over each piece of a large answer (`api/pieces.py`). Meanwhile the connection's next
request is not begun."""

CLOSING_SECONDS = 10.0
"""How long a connection that is being closed may take over the rest of its last answer."""

LINGERING_SECONDS = 2.0
"""How long the rest of a refused body is read and thrown away, for the client to see the answer."""

MAX_LINE, MAX_HEADER, MAX_HEADERS = 8_190, 8_192, 64
"""Bytes of a request line, bytes of one header, and how many headers there may be. The parser names the bound that was
passed and not of what it is, hence two that differ."""

READ_BYTES = MAX_BODY_BYTES // 4
"""Twice as many of a body that nobody reads are taken from the kernel."""


class Protocol(web.RequestHandler):
    """aiohttp's request handler for one connection."""

    __slots__ = (
        "_answer_bytes",
        "_answered_at",
        "_closing_since",
        "_connections",
        "_head_since",
        "_held_bytes",
        "_stuck_since",
        "_wire",
    )

    def __init__(self, server: web.Server, loop: asyncio.AbstractEventLoop, connections: Connections) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None is how it is turned off
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGERING_SECONDS,
            max_line_size=MAX_LINE,
            max_field_size=MAX_HEADER,
            max_headers=MAX_HEADERS,
            read_bufsize=READ_BYTES,
            auto_decompress=False,
        )
        self._connections = connections
        self._wire: asyncio.Transport | None = None
        """aiohttp forgets its own when it begins to close it."""
        self._head_since: float | None = None
        self._stuck_since: float | None = None
        self._answer_bytes = 0
        """Of the answer that is being sent."""
        self._held_bytes = 0
        """As many, once the client is slow to take it."""
        self._closing_since: float | None = None
        self._answered_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._wire.set_write_buffer_limits(PIECE_BYTES)
        self._head_since = self._loop.time()
        name = transport.get_extra_info("peername")
        place = self._connections.come(self, str(name[0]) if isinstance(name, tuple) else None)
        if place is Place.TURNED_AWAY:
            self._request_handler = _turn_away
        elif place is Place.NONE:
            self._wire.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._wire is not None:
            self._wire = None
            self._connections.go(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests:
            self._head_since = None
        elif self._head_since is None and self._is_idle():
            # No request is being handled, so this is no body: it is the first piece of the next one's head.
            self._head_since = self._loop.time()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck_since = self._loop.time()
        if not self._held_bytes:
            self._held_bytes = self._answer_bytes
            if not self._connections.hold_back(self._held_bytes) and self._wire is not None:
                self._wire.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stuck_since = None

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Sends the answer; the next request is begun when all but the last of it is taken.

        What aiohttp refuses before any middleware, such as an `Expect`, is told as a problem.
        """
        if isinstance(resp, web.HTTPException):
            trace = Trace(new_id(), None)
            resp = _signed(response_to(resp, trace), trace)
        body = resp.body if isinstance(resp, web.Response) else None
        if body is None:
            self._answer_bytes = 0
        else:
            self._answer_bytes = len(body) if isinstance(body, bytes | bytearray) else body.size or 0
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._connections.let_go(self._held_bytes)
            self._held_bytes = 0
            self._answered_at = self._loop.time()

    def cut_if_late(self, now: float, *, crowded: bool) -> None:
        """See `api.connections.Connection`."""
        wire = self._wire
        if wire is None:
            return
        if wire.is_closing():
            if self._closing_since is None:
                self._closing_since = now
            elif now - self._closing_since > CLOSING_SECONDS:
                wire.abort()
        elif self._stuck_since is not None:
            if now - self._stuck_since > WRITE_SECONDS:
                wire.abort()
        elif self._head_since is not None:
            if now - self._head_since > HEAD_SECONDS:
                self.force_close()
        elif crowded and self._is_idle() and now - self._answered_at > CROWDED_IDLE_SECONDS:
            self.force_close()

    def _is_idle(self) -> bool:
        """Whether it waits for its next request, of which nothing has come."""
        return self._waiter is not None and not self._waiter.done()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Answers what could not be parsed, or an error outside every handler; closes the connection."""
        if exc is not None:
            # Its frames hold what was read, and the connection itself, until somebody looks for cycles.
            exc.__traceback__ = None
        if status < 500:  # noqa: PLR2004 - the client's own mistake
            return _last_answer(*_fault(exc))
        response = _last_answer("internal_error", "it was reported under this answer's instance")
        log.error("request %s failed outside its handler: %s", response.headers["X-Request-Id"], type(exc).__name__)
        return response


async def _turn_away(request: web.BaseRequest) -> web.StreamResponse:  # noqa: ARG001 - whatever it asks for
    return _last_answer("busy", "there are too many connections")


def _last_answer(code: str, detail: str) -> web.StreamResponse:
    """Problem details, after which the connection is closed."""
    trace = Trace(new_id(), None)
    response = _signed(problem(code, detail, trace).response(), trace)
    if code in RETRY_AFTER_SECONDS:
        response.headers[hdrs.RETRY_AFTER] = str(RETRY_AFTER_SECONDS[code])
    response.force_close()
    return response


def _signed(response: web.Response, trace: Trace) -> web.Response:
    """With the headers that every answer has."""
    response.headers["X-Request-Id"] = str(trace.correlation_id)
    protect(response)
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

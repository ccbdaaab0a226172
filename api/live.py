"""Listings live, as server-sent events (HTML standard, section 9.2): what is, then whatever becomes of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from api import query_models, reads
from api.calls import Call
from api.live_board import Board, State, Watch, state_of
from api.models import Ticket
from domain.errors import Busy, TicketNotFound

HEARTBEAT_SECONDS = 15.0
"""Silence after which a stream says that it lives: proxies cut what is silent for a minute, some for half of one."""

RETRY_MS = 3_000
"""After how long a browser comes again when its stream has ended."""

EVENT_STREAM = "text/event-stream; charset=utf-8"
LAST_EVENT_ID = "Last-Event-ID"


async def of_one(call: Call, query: query_models.LiveQuery) -> web.Response:
    """GET /api/tickets/{ticket_id}/live"""
    one = await reads.ticket(call.services, call.path_id("ticket_id"))
    return _stream(call, [one], query.seconds)


async def of_many(call: Call, query: query_models.LiveManyQuery) -> web.Response:
    """GET /api/tickets/live: those of the listings that exist; with none, there is nothing to listen to."""
    found = []
    for ticket_id in dict.fromkeys(UUID(text) for text in query.ids.split(",")):
        with suppress(TicketNotFound):
            found.append(await reads.ticket(call.services, ticket_id))
    if not found:
        raise TicketNotFound("there is none of these tickets")
    return _stream(call, found, query.seconds)


def _stream(call: Call, found: Sequence[Ticket], seconds: int) -> web.Response:
    board = call.services.live
    if board.is_full_for(call.remote):
        raise Busy("too many watch listings live")
    known = call.request.headers.get(LAST_EVENT_ID, "")
    return web.Response(
        body=Stream(board, [state_of(one) for one in found], known, seconds, call.remote),
        headers={
            hdrs.CONTENT_TYPE: EVENT_STREAM,
            "X-Accel-Buffering": "no",  # nginx would keep events until there are many
        },
    )


class Stream(Payload):
    """The body of the response: it is written for as long as the client listens."""

    def __init__(self, board: Board, states: list[State], known: str, seconds: int, remote: str | None) -> None:
        """
        Args:
            states: what the client is told first.
            known: its `Last-Event-ID`; if that is what `states` are, they are not told again.
            seconds: after how long the stream ends; the browser comes again, perhaps to another process.
            remote: the client's address.
        """
        super().__init__(states)
        self._board = board
        self._told = {state.ticket_id: state.version for state in states}
        self._first = [] if known == self._id() else states
        self._seconds = seconds
        self._remote = remote

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The first event as text."""
        return self._event(self._first).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Tells what is, then what becomes of it. Raises `ConnectionError` when the client is gone."""
        await _send(writer, b"retry: %d\n\n" % RETRY_MS + self._event(self._first))
        if self._board.is_full_for(self._remote):
            return
        with self._board.watch(self._told, self._remote) as watch, suppress(TimeoutError):
            watch.transport = getattr(writer, "transport", None)
            async with asyncio.timeout(self._seconds):
                await self._go_on(writer, watch)

    async def _go_on(self, writer: AbstractStreamWriter, watch: Watch) -> None:
        while not self._board.is_closed:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await watch.wake.wait()
            except TimeoutError:
                await _send(writer, b": still here\n\n")
                continue
            if watch.transport is not None and watch.transport.is_closing():
                return
            news = [state for state in watch.take() if state.version > self._told[state.ticket_id]]
            if news:
                self._told.update({state.ticket_id: state.version for state in news})
                await _send(writer, self._event(news))

    def _event(self, states: list[State]) -> bytes:
        if not states:
            return b""
        items = b",".join(state.encoded for state in states)
        return b'event: listings\nid: %s\ndata: {"items":[%s]}\n\n' % (self._id().encode(), items)

    def _id(self) -> str:
        """What the client knows after it: the version of one listing, or a digest of several ones' versions."""
        if len(self._told) == 1:
            return str(next(iter(self._told.values())))
        told = ",".join(f"{ticket_id}={version}" for ticket_id, version in sorted(self._told.items()))
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


async def _send(writer: AbstractStreamWriter, data: bytes) -> None:
    await writer.write(data)
    await writer.drain()

"""Plays the bank for tests: what it would decide days later is decided now."""

from __future__ import annotations

from aiohttp import web

from sandbox import objects, own, refunds
from sandbox.calls import Call
from sandbox.events import Events
from sandbox.store import Store


class Bank:
    """Handlers under /_sandbox that need no key: the sandbox is for the machine it runs on."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events

    async def settle_refund(self, request: web.Request) -> web.Response:
        """`outcome=succeed|fail`, form or JSON: ends a pending refund, or fails one that seemed to have succeeded."""
        outcome = (await own.fields(request)).get("outcome")
        if outcome not in refunds.OUTCOMES:
            return own.bad("outcome is succeed or fail")
        call = self._call(request)

        def settle() -> web.Response:
            refund = refunds.load(call)
            refunds.settle(call, refund, passed=outcome == "succeed")
            return web.json_response(objects.refund(refund))

        return await own.done(self._store, settle)

    def _call(self, request: web.Request) -> Call:
        return Call.own(self._store, self._events, request.match_info["id"])

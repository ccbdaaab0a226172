"""Plays the bank for tests: what it would decide days later is decided now."""

from __future__ import annotations

from aiohttp import web

from sandbox import disputes, objects, own, refunds
from sandbox.calls import Call
from sandbox.cards import Claim
from sandbox.errors import missing_object
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

    async def dispute_charge(self, request: web.Request) -> web.Response:
        """Disputes what is left of a charge: `reason`, and `inquiry=true` for one that only asks. Form or JSON."""
        sent = await own.fields(request)
        reason, inquiry = sent.get("reason", "fraudulent"), sent.get("inquiry", "false")
        if reason not in disputes.REASON_CODES:
            return own.bad(f"reason is one of {', '.join(disputes.REASON_CODES)}")
        if inquiry not in ("true", "false", True, False):
            return own.bad("inquiry is true or false")
        call = self._call(request)

        def open_dispute() -> web.Response:
            charge = self._store.get("charges", call.identifier)
            if charge is None:
                raise missing_object("charge", call.identifier, param="id")
            claim = Claim(reason, is_inquiry=inquiry in ("true", True))
            return web.json_response(objects.dispute(disputes.open_dispute(call, charge, claim)))

        return await own.done(self._store, open_dispute)

    async def settle_dispute(self, request: web.Request) -> web.Response:
        """`outcome=won|lost|escalated`, form or JSON: the bank decides. An inquiry is closed, or escalated."""
        outcome = (await own.fields(request)).get("outcome")
        if outcome not in disputes.OUTCOMES:
            return own.bad(f"outcome is one of {', '.join(disputes.OUTCOMES)}")
        call = self._call(request)

        def settle() -> web.Response:
            dispute = disputes.load(call)
            disputes.settle(call, dispute, outcome)
            return web.json_response(objects.dispute(dispute))

        return await own.done(self._store, settle)

    def _call(self, request: web.Request) -> Call:
        return Call.own(self._store, self._events, request.match_info["id"])

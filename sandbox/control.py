"""The sandbox's own endpoints, outside /v1: fault switches, a summary for tests, the buyer's 3-D Secure page."""

from __future__ import annotations

import html
import json
from urllib.parse import urlencode, urlsplit, urlunsplit

from aiohttp import web

from sandbox import attempts, objects, own
from sandbox.calls import Call
from sandbox.errors import missing_object
from sandbox.events import Events
from sandbox.faults import BadSwitch, Faults
from sandbox.store import Record, Store

_OUTCOMES = ("succeed", "fail")
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Bank authentication (sandbox)</title>
<body style="font-family: sans-serif; max-width: 28rem; margin: 4rem auto">
<h1>Your bank asks: is this you?</h1><p>A payment of {amount} {currency} (minor units). No real money moves here.</p>
<form method="post"><button name="outcome" value="succeed">Yes, pay</button>
<button name="outcome" value="fail">No</button><input type="hidden" name="return" value="true"></form></body></html>
"""


class Control:
    """Handlers under /_sandbox. They need no key: the sandbox is for the machine it runs on."""

    def __init__(self, store: Store, events: Events, faults: Faults) -> None:
        self._store = store
        self._events = events
        self._faults = faults

    async def show_faults(self, _: web.Request) -> web.Response:
        return web.json_response(self._faults.shown())

    async def set_faults(self, request: web.Request) -> web.Response:
        # JSON only: a form could be sent by any page in the browser of whoever runs this.
        if request.content_type != "application/json":
            return own.bad("send the switches as application/json")
        try:
            self._faults.set(await request.json())
        except (BadSwitch, json.JSONDecodeError, UnicodeDecodeError) as error:
            return own.bad(str(error))
        return web.json_response(self._faults.shown())

    async def reset_faults(self, _: web.Request) -> web.Response:
        self._faults.reset()
        return web.json_response(self._faults.shown())

    async def state(self, _: web.Request) -> web.Response:
        """How much there is of everything; amounts in minor units by currency."""
        await self._store.committed()
        totals = self._store.totals()
        pending = self._store.read("SELECT count(*) FROM deliveries")[0][0]
        to_settle = self._store.read("SELECT count(*) FROM settlements")[0][0]
        return web.json_response(
            {
                "payment_intents": totals.get("payment_intents", 0),
                "statuses": _group(totals, "status."),
                "charges": {"succeeded": 0, "failed": 0} | _group(totals, "charges."),
                "refunds": totals.get("refunds", 0),
                "captured": _group(totals, "captured."),
                "refunded": _group(totals, "refunded."),
                "balance": _group(totals, "balance."),
                "disputes": _group(totals, "dispute."),
                "accounts": totals.get("accounts", 0),
                "transfers": totals.get("transfers", 0),
                "transferred": _group(totals, "transferred."),
                "to_settle": to_settle,
                "events": totals.get("events", 0),
                "webhooks": {"delivered": 0, "failed_attempts": 0, "given_up": 0}
                | _group(totals, "webhooks.")
                | {"pending": pending},
            }
        )

    async def authentication_page(self, request: web.Request) -> web.Response:
        """Where `next_action.redirect_to_url` leads."""
        intent = self._store.get("payment_intents", request.match_info["id"])
        if intent is None:
            return own.problem(missing_object("payment_intent", request.match_info["id"], param="intent"))
        page = _PAGE.format(amount=intent["amount"], currency=html.escape(intent["currency"].upper()))
        return web.Response(text=page, content_type="text/html")

    async def authenticate(self, request: web.Request) -> web.Response:
        """Plays the buyer: `outcome=succeed|fail`, form or JSON. Answers the intent, or sends the page's user back."""
        identifier = request.match_info["id"]
        sent = await own.fields(request)
        if sent.get("outcome") not in _OUTCOMES:
            return own.bad("outcome is succeed or fail")

        def authenticate() -> web.Response:
            intent, back = self._authenticate(identifier, passed=sent["outcome"] == "succeed")
            if "return" in sent and back is not None:
                return web.Response(status=web.HTTPSeeOther.status_code, headers={"Location": back})
            return web.json_response(objects.payment_intent(intent))

        return await own.done(self._store, authenticate)

    def _authenticate(self, identifier: str, *, passed: bool) -> tuple[Record, str | None]:
        """The intent afterwards, and the address the buyer is sent back to, if one was given."""
        intent = self._store.get("payment_intents", identifier)
        if intent is None:
            raise missing_object("payment_intent", identifier, param="intent")
        redirect = (intent.get("next_action") or {}).get("redirect_to_url")
        attempts.authenticate(Call.own(self._store, self._events, identifier), intent, passed=passed)
        return intent, None if redirect is None else _return_address(redirect["return_url"], intent)


def _return_address(return_url: str, intent: Record) -> str:
    """The return URL with what Stripe adds to it (docs.stripe.com/payments/3d-secure)."""
    parts = urlsplit(return_url)
    added = urlencode(
        {
            "payment_intent": intent["id"],
            "payment_intent_client_secret": intent["client_secret"],
            "redirect_status": "succeeded" if intent["status"] == "succeeded" else "failed",
        }
    )
    return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))


def _group(totals: dict[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): value for name, value in totals.items() if name.startswith(prefix) and value}

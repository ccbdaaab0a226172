"""The page behind an account link, and the same without a page for tests."""

from __future__ import annotations

import html

from aiohttp import web

from sandbox import account_links, accounts, objects, own
from sandbox.calls import Call
from sandbox.errors import missing_object
from sandbox.events import Events
from sandbox.store import Record, Store

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Get paid (sandbox)</title>
<meta name="viewport" content="width=device-width">
<body style="font-family: sans-serif; max-width: 28rem; margin: 4rem auto">
<h1>Get paid by Stagedoor</h1><p>Here Stripe would ask who you are and where your money goes. This is a sandbox: it asks
nothing, and no real money moves. Your account is {account}.</p>
<form method="post"><input type="hidden" name="visit" value="{visit}"><button>Finish</button></form></body></html>
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Onboarding:
    """Handlers under /_sandbox that need no key: who knows a link may use it, as at Stripe."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events

    async def page(self, request: web.Request) -> web.Response:
        """Where an account link leads: the form at its first visit in time, its refresh_url ever after."""
        call = self._call(request)

        def visit() -> web.Response:
            link = self._link(call)
            secret = account_links.visit(call, link)
            if secret is None:
                return _go_to(link["refresh_url"])
            page = _PAGE.format(account=html.escape(link["account"]), visit=secret)
            return web.Response(text=page, content_type="text/html", headers=_HEADERS)

        return await own.done(self._store, visit)

    async def finish(self, request: web.Request) -> web.Response:
        """The form: the account is complete, and the person goes on at the return_url."""
        call, sent = self._call(request), await own.fields(request)

        def finish() -> web.Response:
            link = self._link(call)
            return _go_to(link["return_url" if account_links.finish(call, link, sent.get("visit")) else "refresh_url"])

        return await own.done(self._store, finish)

    async def onboard(self, request: web.Request) -> web.Response:
        """Completes an account with no page; answers it as it is then."""
        call = self._call(request)

        def onboard() -> web.Response:
            account = self._store.get("accounts", call.identifier)
            if account is None:
                raise missing_object("account", call.identifier, param="account")
            accounts.complete(call, account)
            return web.json_response(objects.account(account))

        return await own.done(self._store, onboard)

    def _link(self, call: Call) -> Record:
        link = self._store.get("account_links", call.identifier)
        if link is None:
            raise missing_object("account link", call.identifier, param="id")
        return link

    def _call(self, request: web.Request) -> Call:
        return Call.own(self._store, self._events, request.match_info["id"])


def _go_to(address: str) -> web.Response:
    return web.Response(status=web.HTTPSeeOther.status_code, headers={**_HEADERS, "Location": address})

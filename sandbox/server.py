"""The sandbox's HTTP server: every route on this page.

`run` is the whole program; `make_app` is the aiohttp application for tests that run it in their own loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from sandbox import (
    account_links,
    accounts,
    balance,
    charges,
    disputes,
    payment_intents,
    payment_methods,
    refunds,
    transfers,
)
from sandbox.bank import Bank
from sandbox.calls import Call
from sandbox.control import Control
from sandbox.errors import INVALID_REQUEST, StripeError, missing_object
from sandbox.events import TYPES, Events
from sandbox.faults import Faults
from sandbox.lists import listing
from sandbox.onboarding import Onboarding
from sandbox.pipeline import Pipeline
from sandbox.settlements import Settler
from sandbox.store import Store
from sandbox.webhooks import Deliverer

MAX_BODY_BYTES = 65_536
"""Fifty metadata pairs fit several times; nothing here needs more."""
BACKLOG = 1_024
"""Connections the kernel may hold until they are accepted: a restart of many clients at once."""
SHUTDOWN_SECONDS = 2.0
"""How long running requests may take to end when the server is stopped."""


def run(
    *,
    host: str,
    port: int,
    state_path: Path,
    secret_key: str,
    webhook_url: str | None,
    webhook_secret: str,
    webhook_events: Collection[str] | None = None,
) -> None:
    """Serves on `host` and `port` only, until SIGTERM or SIGINT, then ends cleanly. Parameters as for `make_app`.

    Raises StoreError when the state file cannot be used, OSError when the port is taken.
    """
    app = make_app(
        state_path=state_path,
        secret_key=secret_key,
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
        webhook_events=webhook_events,
    )
    web.run_app(
        app,
        host=host,
        port=port,
        print=None,
        access_log=None,
        backlog=BACKLOG,
        shutdown_timeout=SHUTDOWN_SECONDS,
        loop=uvloop.new_event_loop(),
    )


def make_app(
    *,
    state_path: Path,
    secret_key: str,
    webhook_url: str | None,
    webhook_secret: str,
    webhook_events: Collection[str] | None = None,
) -> web.Application:
    """The application. It owns the file at `state_path` until it is cleaned up.

    Args:
        secret_key: the one secret API key that is accepted.
        webhook_url: where events are sent; None for nowhere (they are still listed under /v1/events).
        webhook_secret: signs them.
        webhook_events: the event types to send; None for all.

    Raises:
        StoreError: the state file is in use by another sandbox, or is not one.
        ValueError: `webhook_events` names an event that does not exist here.
    """
    wanted = TYPES if webhook_events is None else frozenset(webhook_events)
    if not wanted <= TYPES:
        raise ValueError(f"no such event types: {', '.join(sorted(wanted - TYPES))}")
    store = Store(state_path)
    events = Events(store, wanted if webhook_url is not None else ())
    faults = Faults()
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.add_routes(_api(Pipeline(store, events, faults, secret_key)))
    app.add_routes(_own(Control(store, events, faults), Bank(store, events), Onboarding(store, events)))

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(Settler(store, events, faults).run())]
        if webhook_url is not None:
            tasks.append(asyncio.create_task(Deliverer(store, events, faults, webhook_url, webhook_secret).run()))
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        store.close()

    app.cleanup_ctx.append(lifetime)
    return app


def _api(pipeline: Pipeline) -> list[web.RouteDef]:
    """The part of Stripe's API that there is."""
    api = pipeline.handler
    return [
        web.post("/v1/payment_intents", api(payment_intents.create)),
        web.post("/v1/payment_intents/{id}/confirm", api(payment_intents.confirm_existing, public=True)),
        web.post("/v1/payment_intents/{id}/cancel", api(payment_intents.cancel)),
        web.post("/v1/payment_intents/{id}", api(payment_intents.update)),
        web.get("/v1/payment_intents/{id}", api(payment_intents.retrieve, public=True)),
        web.get("/v1/payment_intents", api(payment_intents.list_all)),
        web.get("/v1/payment_methods/{id}", api(payment_methods.retrieve)),
        web.get("/v1/charges/{id}", api(charges.retrieve)),
        web.get("/v1/charges", api(charges.list_all)),
        web.post("/v1/refunds", api(refunds.create)),
        web.get("/v1/refunds/{id}", api(refunds.retrieve)),
        web.get("/v1/refunds", api(refunds.list_all)),
        web.post("/v1/disputes/{id}/close", api(disputes.close)),
        web.post("/v1/disputes/{id}", api(disputes.update)),
        web.get("/v1/disputes/{id}", api(disputes.retrieve)),
        web.get("/v1/disputes", api(disputes.list_all)),
        web.get("/v1/balance", api(balance.retrieve)),
        web.get("/v1/balance_transactions/{id}", api(balance.retrieve_transaction)),
        web.get("/v1/balance_transactions", api(balance.list_transactions)),
        web.post("/v1/accounts", api(accounts.create)),
        web.get("/v1/accounts/{id}", api(accounts.retrieve)),
        web.get("/v1/accounts", api(accounts.list_all)),
        web.post("/v1/account_links", api(account_links.create)),
        web.post("/v1/transfers", api(transfers.create)),
        web.get("/v1/transfers/{id}", api(transfers.retrieve)),
        web.get("/v1/transfers", api(transfers.list_all)),
        web.post("/v1/transfers/{transfer}/reversals", api(transfers.reverse)),
        web.get("/v1/transfers/{transfer}/reversals/{id}", api(transfers.retrieve_reversal)),
        web.get("/v1/transfers/{transfer}/reversals", api(transfers.list_reversals)),
        web.get("/v1/events/{id}", api(_retrieve_event)),
        web.get("/v1/events", api(_list_events)),
        web.route("*", "/v1/{rest:.*}", api(_nothing_here, public=True)),
    ]


def _own(control: Control, bank: Bank, onboarding: Onboarding) -> list[web.RouteDef]:
    """What Stripe does not have."""
    authentication = "/_sandbox/payment_intents/{id}/authenticate"
    return [
        web.get("/healthz", _healthy),
        web.get("/v3/", _stripe_js),
        web.get("/_sandbox/state", control.state),
        web.get("/_sandbox/faults", control.show_faults),
        web.post("/_sandbox/faults", control.set_faults),
        web.delete("/_sandbox/faults", control.reset_faults),
        web.get(authentication, control.authentication_page),
        web.post(authentication, control.authenticate),
        web.post("/_sandbox/refunds/{id}/settle", bank.settle_refund),
        web.post("/_sandbox/charges/{id}/dispute", bank.dispute_charge),
        web.post("/_sandbox/disputes/{id}/settle", bank.settle_dispute),
        # No HEAD, which a GET route answers otherwise: looking at a link must not use it up.
        web.get("/_sandbox/onboarding/{id}", onboarding.page, allow_head=False),
        web.post("/_sandbox/onboarding/{id}", onboarding.finish),
        web.post("/_sandbox/accounts/{id}/onboard", onboarding.onboard),
    ]


async def _healthy(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _stripe_js(_: web.Request) -> web.Response:
    """The double of Stripe.js, at the address that it has at Stripe."""
    script = files("sandbox").joinpath("stripe.js").read_bytes()
    return web.Response(body=script, content_type="text/javascript", charset="utf-8")


def _retrieve_event(call: Call) -> dict[str, Any]:
    call.parameters.refuse_unknown()
    event = call.events.get(call.identifier)
    if event is None:
        raise missing_object("event", call.identifier, param="id")
    return event


def _list_events(call: Call) -> dict[str, Any]:
    return listing(call, "events", filters=("type",))


def _nothing_here(_: Call) -> dict[str, Any]:
    raise StripeError(404, INVALID_REQUEST, "This URL or method is not part of the sandbox; see its README.")

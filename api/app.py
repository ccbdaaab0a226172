"""The composition root: builds everything one API process is made of, and takes it down again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from functools import cache

import psycopg
from aiohttp import web

from adapters.accounts import Accounts
from adapters.collection import Collection
from adapters.database import make_pool
from adapters.event_log import EventLog
from adapters.event_store import PostgresEventStore
from adapters.house_key import HouseKey, open_house_key
from adapters.letters import Letters
from adapters.mail import mail_of
from adapters.passwords import Passwords
from adapters.settings import Settings, SettingsError, required
from adapters.short_codes import ShortCodes
from adapters.stored_answers import StoredAnswers
from adapters.stripe_gateway import StripeGateway
from adapters.tasks import end
from adapters.ticket_codes import TicketCodes
from adapters.token_keys import TokenKeys
from api.account_looks import AccountLooks
from api.addresses import Addresses
from api.auth import LIFETIME, AccessTokens
from api.bodies import MAX_BODY_BYTES
from api.cors import Cors
from api.docs import OPENAPI
from api.endpoint import edge, endpoint
from api.limits import Limits
from api.live_board import Board
from api.load import MAX_BODIES, MAX_REQUESTS, MAX_VERSION_WAITS, Arrivals, Load
from api.metrics import Metrics
from api.openapi import document
from api.page_routes import PAGES
from api.post_office import PostOffice
from api.routes import ROUTES
from api.sales import sales_reader
from api.services import SERVICES, Services
from api.sessions import EndedSessions
from api.shared_reads import SharedReads
from api.ticket_pages import listing_reader, page_reader
from api.turns import Turns
from domain.actors import Actors
from domain.marketplace import Marketplace
from projections.activity import ActivityQueries
from projections.payout_queries import PayoutQueries
from projections.queries import Queries
from projections.sales import SalesQueries

POOL_SIZE = 10
"""Connections for reads, of a millisecond each: ten serve thousands a second. One more writes (`domain/actors.py`)."""

PAGES_AT_ONCE = min(max(2, os.cpu_count() or 2), POOL_SIZE - 3)
"""Searches under way together: each keeps a processor busy, and more would share less. The rest of the pool is for
reads that take a hundredth of their time."""

TURN_SECONDS = 10.0
"""How long a payment waits for another one of the same key or order."""

GAUGE_SECONDS = 0.5


def make_app(settings: Settings) -> web.Application:
    """The application of one process; the parts that need a running loop are built when it starts.

    Raises, when it starts:
        SettingsError: a setting or the house key is missing or wrong, or the database has no schema.
        psycopg.OperationalError: the database does not answer.
    """
    metrics = Metrics()
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[edge(metrics, Cors(settings.cors_origins))])
    app[OPENAPI] = _description()
    for route in (*ROUTES, *PAGES):
        # aiohttp's own variables stop at braces; whatever stands for an id is to be answered as one, but for the one
        # word that is a path of its own: there other methods are none, and no id's.
        path = route.path.replace("}", ":(?!live$)[^/]+}")
        if route.method == "GET":
            app.router.add_get(path, endpoint(route))  # and HEAD
        else:
            app.router.add_route(route.method, path, endpoint(route))

    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app[SERVICES] = await _build(settings, metrics, stack)
            yield

    async def end_streams(app: web.Application) -> None:
        # Before the requests under way are waited for: streams would keep the process for minutes.
        app[SERVICES].live.close()

    app.cleanup_ctx.append(lifetime)
    app.on_shutdown.append(end_streams)
    return app


@cache
def _description() -> bytes:
    return document(ROUTES)


async def _build(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Services:
    """Builds the parts from the outside in; the stack takes them down in the opposite order."""
    database_url = required(settings.database_url, "DATABASE_URL")
    webhook_secrets = required(settings.stripe_webhook_secret, "STRIPE_WEBHOOK_SECRET")
    pool = make_pool(database_url, max_size=POOL_SIZE)
    stack.push_async_callback(pool.close)
    await pool.open()
    gateway = StripeGateway(settings)
    stack.push_async_callback(gateway.close)
    passwords = Passwords()
    stack.callback(passwords.close)
    mail = mail_of(settings)
    stack.callback(mail.close)
    try:
        house_key = await asyncio.to_thread(open_house_key, settings)
        accounts, keys, letters = Accounts(pool, house_key), TokenKeys(pool, house_key), Letters(pool, house_key)
        ended_sessions = EndedSessions(accounts, LIFETIME, others=settings.api_processes > 1)
        tokens = AccessTokens(keys, ended_sessions)
        await keys.load()
        await ended_sessions.poll()
    except psycopg.errors.UndefinedTable as error:
        raise SettingsError("the database has no schema: run `stagedoor migrate`") from error
    except psycopg.errors.UndefinedColumn as error:
        raise SettingsError("the database has an older schema: run `stagedoor migrate`") from error
    actors = _start_actors(database_url, house_key, stack)
    queries = Queries(pool)
    _run_beside(ended_sessions.run(), stack)
    _run_beside(tokens.run(), stack)
    _run_beside(PostOffice(letters, accounts, mail, settings).run(), stack)
    _run_beside(_keep_house(actors, metrics), stack)
    live = Board(listing_reader(queries))
    _run_beside(live.run(), stack)
    return Services(
        settings=settings,
        pool=pool,
        actors=actors,
        marketplace=Marketplace(actors, settings.hold_seconds, settings.max_held_per_buyer, settings.terms),
        queries=queries,
        listings=SharedReads(listing_reader(queries), at_once=2, keys_in_a_look=100),
        pages=SharedReads(page_reader(queries), at_once=PAGES_AT_ONCE, keys_in_a_look=1),
        balances=SharedReads(PayoutQueries(pool).balances, at_once=2, keys_in_a_look=10),
        sales=SharedReads(sales_reader(SalesQueries(pool)), at_once=2, keys_in_a_look=1),
        activity=SharedReads(ActivityQueries(pool).until, at_once=1, keys_in_a_look=1),
        account_looks=AccountLooks(gateway),
        log=EventLog(pool),
        gateway=gateway,
        webhook_secrets=tuple(secret.strip() for secret in webhook_secrets.split(",") if secret.strip()),
        house_key=house_key,
        accounts=accounts,
        verified=SharedReads(accounts.verified, at_once=2, keys_in_a_look=100),
        letters=letters,
        collection=Collection(pool),
        stored_answers=StoredAnswers(pool),
        passwords=passwords,
        keys=keys,
        tokens=tokens,
        ended_sessions=ended_sessions,
        addresses=Addresses(settings.trusted_proxies),
        limits=Limits(enabled=settings.rate_limit),
        requests=Load(MAX_REQUESTS, "too many requests are under way"),
        bodies=Arrivals(MAX_BODIES),
        version_waits=Load(MAX_VERSION_WAITS, "too many wait for a version"),
        metrics=metrics,
        turns=Turns(TURN_SECONDS),
        live=live,
        ticket_codes=TicketCodes(house_key),
        short_codes=ShortCodes(house_key),
    )


def _start_actors(database_url: str, house_key: HouseKey, stack: AsyncExitStack) -> Actors:
    actors = Actors(PostgresEventStore(database_url, house_key))
    actors.start()
    stack.push_async_callback(actors.stop)
    return actors


def _run_beside(work: Coroutine[None, None, None], stack: AsyncExitStack) -> None:
    stack.push_async_callback(end, asyncio.create_task(work))


async def _keep_house(actors: Actors, metrics: Metrics) -> None:
    """What has to be looked at from time to time."""
    while True:
        await asyncio.sleep(GAUGE_SECONDS)
        metrics.commands_waiting.set(actors.waiting)

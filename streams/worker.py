"""The worker: a Faust app in this process that keeps the read models, ends what is due and reacts to payments."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from tempfile import TemporaryDirectory
from typing import Any

from faust.exceptions import ConsumerNotStarted
from psycopg_pool import AsyncConnectionPool

from adapters.database import make_pool
from adapters.event_store import PostgresEventStore
from adapters.settings import Settings, required
from adapters.stripe_gateway import StripeGateway
from domain.actors import Actors
from domain.marketplace import Marketplace
from projections.models import MODELS
from projections.queries import Queries
from projections.reconciling import Reconciling
from streams import deadlines, liveness, payouts, pruning, reactions, reconciliation, sealing
from streams.app import make_app
from streams.attempts import Attempts
from streams.deadlines import Deadlines
from streams.liveness import Liveness
from streams.payouts import Payouts
from streams.process import give_up, run_process
from streams.project import Projector
from streams.pruning import Pruning
from streams.reactions import Reactions
from streams.reconciliation import Reconciliation
from streams.relay_state import Partition
from streams.sealing import Sealing
from streams.timer import Timer
from streams.topics import TopicsError, prepare_cluster

MAX_CONNECTIONS = 6
"""One for each agent, and some for the timers."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
"""Between tries to reach Kafka at the start."""

LOOK_SECONDS = 0.5
"""Between looks whether Faust still runs."""

STOP_SECONDS = 6.0
"""For the batches under way; what is cut off comes again."""

EXIT_GIVEN_UP = 3
"""The exit code of a worker that gave itself up; whoever runs it starts another."""

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Runs the worker until SIGTERM or SIGINT. Ends the process with `EXIT_GIVEN_UP` when it makes no progress.

    Raises:
        SettingsError: `database_url`, `kafka_bootstrap_servers` or `stripe_secret_key` is missing.
    """
    database_url = required(settings.database_url, "DATABASE_URL")
    bootstrap_servers = required(settings.kafka_bootstrap_servers, "KAFKA_BOOTSTRAP_SERVERS")
    required(settings.stripe_secret_key, "STRIPE_SECRET_KEY")

    async def serve(stop: asyncio.Event, begun: asyncio.Event) -> None:
        if not await _wait_for_kafka(bootstrap_servers, stop):
            return
        async with AsyncExitStack() as stack:
            pool = make_pool(database_url, max_size=MAX_CONNECTIONS)
            await pool.open()
            stack.push_async_callback(pool.close)
            actors = Actors(PostgresEventStore(database_url))
            actors.start()
            stack.push_async_callback(actors.stop)
            gateway = StripeGateway(settings)
            stack.push_async_callback(gateway.close)
            # Faust insists on a folder, and keeps nothing in it.
            datadir = stack.enter_context(TemporaryDirectory(prefix="stagedoor-worker-"))

            watch = Liveness(pool, lambda: _assignment(app))
            marketplace = Marketplace(actors, settings.hold_seconds, terms=settings.terms)
            timers = _timers(pool, marketplace, gateway, watch)
            projectors = {model: Projector(projection, pool) for model, projection in MODELS.items()}
            app = make_app(bootstrap_servers, projectors, timers, datadir)

            async def joined(*_: object, **__: object) -> None:
                begun.set()

            app.on_rebalance_complete.connect(joined)
            await _run_app(app, watch, stop)

    run_process("worker", serve, heartbeat_file=settings.heartbeat_file)


def _timers(
    pool: AsyncConnectionPool, marketplace: Marketplace, gateway: StripeGateway, watch: Liveness
) -> list[Timer]:
    queries = Queries(pool)
    reacting = Reactions(queries, marketplace, gateway, Attempts(pool))
    reconciling = Reconciliation(Reconciling(pool), marketplace, gateway, gateway)
    return [
        Timer("deadlines", deadlines.INTERVAL_SECONDS, Deadlines(queries, marketplace).tick),
        Timer("payouts", payouts.INTERVAL_SECONDS, Payouts(queries, marketplace).tick),
        Timer("reactions", reactions.INTERVAL_SECONDS, reacting.tick),
        Timer("reconciliation", reconciliation.INTERVAL_SECONDS, reconciling.tick),
        Timer("books", reconciliation.INTERVAL_SECONDS, reconciling.tick_books),
        Timer("liveness", liveness.INTERVAL_SECONDS, watch.tick),
        Timer("sealing", sealing.INTERVAL_SECONDS, Sealing(pool).tick),
        Timer("pruning", pruning.INTERVAL_SECONDS, Pruning(pool).tick),
    ]


async def _wait_for_kafka(bootstrap_servers: str, stop: asyncio.Event) -> bool:
    """True once Kafka answers and has the topics; False if a stop is asked for before."""
    pause_seconds = FIRST_PAUSE_SECONDS
    while not stop.is_set():
        try:
            await prepare_cluster(bootstrap_servers)
        except TopicsError as error:
            log.warning("Kafka is away (%s); trying again", type(error.__cause__).__name__)
        else:
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_seconds)
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
    return False


async def _run_app(app: Any, watch: Liveness, stop: asyncio.Event) -> None:
    """Runs the app until a stop is asked for; gives up when it ends of its own accord or makes no progress."""
    starting = asyncio.ensure_future(app.start())
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
        if watch.stalled or app.crashed or (starting.done() and starting.exception() is not None):
            log.error("the worker gives up: %s", "no progress" if watch.stalled else "Faust ended")
            give_up(EXIT_GIVEN_UP)
    starting.cancel()
    with suppress(TimeoutError):
        await asyncio.wait_for(app.stop(), STOP_SECONDS)


def _assignment(app: Any) -> set[Partition]:
    """The partitions this worker has now."""
    try:
        return {(place.topic, place.partition) for place in app.consumer.assignment()}
    except ConsumerNotStarted:
        return set()

"""The relay: publishes the store's log to Kafka, in order, at least once.

It reads behind its position, sends, waits for the acknowledgements, writes its position down, and begins again. Nothing
is skipped and nothing is kept in memory but the events under way: with Kafka or the database away it waits, and goes on
from the position.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from time import monotonic
from typing import Any, TypeVar

import psycopg
from aiokafka.errors import KafkaError
from psycopg import AsyncConnection

from adapters.database import make_pool
from adapters.event_messages import Message
from adapters.settings import Settings, required
from adapters.tasks import end
from streams.builtin_pace import BuiltinPace, begin_builtin
from streams.kafka_check import StoreBehindKafka, check_kafka, check_log
from streams.leadership import HEARTBEAT_SECONDS, leadership, wait_for_events
from streams.outgoing import Outgoing
from streams.process import run_process
from streams.publisher import Publisher, Wiped
from streams.relay_state import RelayState, load_state, save_state
from streams.topics import TopicsError

BATCH = 1_000
"""Events sent before the position is written down: some megabytes at most, and some milliseconds of repeating after a
crash."""

GATHER_SECONDS_PER_EVENT, LEAST_GATHER_SECONDS, LONGEST_GATHER_SECONDS = 0.0002, 0.02, 0.025
"""After a batch the next one gathers for so long for each event there was: a lone event is published at once, and the
busier everything is, the larger the batches get and the less each event costs. At the least twenty milliseconds: a
batch of two costs this process, the broker and the worker as much as one of fifty, and a single buyer who orders one
thing after the other would keep two processors busy with hundreds of them a second."""

CHECK_SECONDS = 5.0
"""Between looks whether Kafka still has what was published, while there is nothing to publish."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
"""Between tries while Kafka or the database is away."""

LOOK_AGAIN_SECONDS = 15.0
"""Between looks at what only a person can mend; it is said again each time."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class _Stuck(Exception):
    """Nothing may be published until somebody has acted."""


def run(settings: Settings) -> None:
    """Runs the relay until SIGTERM or SIGINT; stands by while another one runs.

    Raises:
        SettingsError: `database_url` or `kafka_bootstrap_servers` is missing.
    """
    database_url = required(settings.database_url, "DATABASE_URL")
    bootstrap_servers = required(settings.kafka_bootstrap_servers, "KAFKA_BOOTSTRAP_SERVERS")

    async def serve(stop: asyncio.Event, begun: asyncio.Event) -> None:
        begun.set()  # one that stands by is at its work
        relaying = asyncio.ensure_future(relay_for_ever(database_url, bootstrap_servers))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([relaying, stopping], return_when=asyncio.FIRST_COMPLETED)
        await end(relaying)

    run_process("relay", serve, heartbeat_file=settings.heartbeat_file)


async def relay_for_ever(database_url: str, bootstrap_servers: str) -> None:
    """Publishes whenever this is the one relay, over every failure, until cancelled."""
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        began = monotonic()
        try:
            async with leadership(database_url) as connection:
                log.info("this relay publishes now")
                await Relay(connection, database_url, bootstrap_servers).publish_for_ever()
        except psycopg.Error as error:
            log.warning("the database is away or the lock was lost (%s); trying again", type(error).__name__)
        if monotonic() - began > LONGEST_PAUSE_SECONDS:
            pause_seconds = FIRST_PAUSE_SECONDS
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)


class Relay:
    """The one that publishes. It is over when a `psycopg.Error` comes out: the lock may be another's by then."""

    def __init__(self, connection: AsyncConnection[Any], database_url: str, bootstrap_servers: str) -> None:
        self._connection = connection
        self._bootstrap_servers = bootstrap_servers
        self._pool = make_pool(database_url, max_size=1)
        self._log = Outgoing(self._pool)
        self._state = RelayState()

    async def publish_for_ever(self) -> None:
        """Publishes over every failure of Kafka's.

        Raises:
            psycopg.Error: the database is away.
        """
        pause_seconds = FIRST_PAUSE_SECONDS
        await self._pool.open()
        try:
            while True:
                began = monotonic()
                try:
                    await self._publish()
                except (KafkaError, TopicsError, OSError, TimeoutError) as error:
                    log.warning("Kafka is away (%s); trying again", type(error).__name__)
                if monotonic() - began > LONGEST_PAUSE_SECONDS:
                    pause_seconds = FIRST_PAUSE_SECONDS
                await self._heeding(asyncio.sleep(pause_seconds))
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
        finally:
            await self._pool.close()

    async def _publish(self) -> None:
        """Publishes by one connection to Kafka until that fails."""
        publisher = await self._heeding(Publisher.connect(self._bootstrap_servers))
        try:
            self._state = await load_state(self._connection)
            while True:
                try:
                    await self._heeding(check_kafka(publisher, self._state, self._connection))
                    await self._follow(publisher)
                except Wiped as wiped:
                    await self._begin_again(publisher, wiped)
                except StoreBehindKafka as trouble:
                    await self._stand_still(str(trouble))
        finally:
            await publisher.close()

    async def _follow(self, publisher: Publisher) -> None:
        """Publishes what is in the log and what comes; returns when Kafka should be looked at again."""
        for topic, count in publisher.cluster.partitions.items():
            for number in range(count):
                self._state.of((topic, number))
        if self._state.trouble is not None:
            log.info("the trouble is over: %s", self._state.trouble)
            self._state.trouble = None
            await save_state(self._connection, self._state)
        pace = BuiltinPace(self._pool) if publisher.cluster.builtin else None
        idle_since = monotonic()
        while monotonic() - idle_since < CHECK_SECONDS:
            messages = await self._log.after(self._state.position, limit=BATCH if pace is None else pace.batch)
            if pace is not None:
                await self._heeding(pace.admit(messages, publisher.partition))
            if messages:
                await self._send(publisher, messages, pace)
                gather_seconds = max(LEAST_GATHER_SECONDS, len(messages) * GATHER_SECONDS_PER_EVENT)
                await asyncio.sleep(min(gather_seconds, LONGEST_GATHER_SECONDS))
                idle_since = monotonic()
            else:
                await wait_for_events(self._connection, HEARTBEAT_SECONDS)
                await self._connection.execute("SELECT 1")
        await check_log(self._state, self._connection)

    async def _send(self, publisher: Publisher, messages: list[Message], pace: BuiltinPace | None) -> None:
        sizes = await self._heeding(publisher.publish(messages, self._state))
        await save_state(self._connection, self._state)
        if pace is not None:
            pace.note(sizes, self._state)

    async def _begin_again(self, publisher: Publisher, wiped: Wiped) -> None:
        log.warning("Kafka does not have what was published (%s); publishing again from the store", wiped)
        if publisher.cluster.builtin:
            self._state = await begin_builtin(self._pool, self._state, publisher.cluster)
        else:
            self._state = RelayState(cluster=publisher.cluster.id)
        await save_state(self._connection, self._state)

    async def _stand_still(self, trouble: str) -> None:
        log.error("nothing is published: %s", trouble)
        self._state.trouble = trouble
        await save_state(self._connection, self._state)
        await self._heeding(asyncio.sleep(LOOK_AGAIN_SECONDS))

    async def _heeding(self, work: Awaitable[T]) -> T:
        """Waits for something, and shows the database meanwhile that this relay lives.

        Raises:
            psycopg.OperationalError: this is not the one relay any more.
        """
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait([task], timeout=HEARTBEAT_SECONDS))[0]:
                await self._connection.execute("SELECT 1")
            return task.result()
        finally:
            task.cancel()

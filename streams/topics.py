"""The Kafka topics: made explicitly, with explicit partitions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from domain.published import ORDERS, TICKETS, USERS

TOPICS = (TICKETS, ORDERS, USERS)

PARTITIONS = 8
"""Bounds how many workers can share a topic. Keys stay in order only while this number stays as it is, so it is larger
than one machine needs and no larger than one broker carries easily."""

REPLICATION = 1
"""One copy: a single broker has no other, and what Kafka loses is published again from the store. To have more copies,
make the topics yourself before the first start."""

REQUEST_TIMEOUT_MS = 10_000
ENSURE_SECONDS = 30.0
"""For everything together; a broker that is up answers in a tenth of a second."""

BUILTIN_CLUSTER = "mockCluster"
"""How the broker that comes with librdkafka begins its cluster id. It makes a topic, with four partitions, when it is
first asked about it, and does not know how to be told to."""


class TopicsError(Exception):
    """The topics could not be made. The text is one line; the cause tells whether Kafka was out of reach."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a Kafka cluster says about itself."""

    id: str
    partitions: dict[str, int]
    """How many each of `TOPICS` has."""

    @property
    def builtin(self) -> bool:
        """Whether it is librdkafka's: it keeps at most 5 MiB a partition, and nothing when it ends."""
        return self.id.startswith(BUILTIN_CLUSTER)


def ensure_topics(bootstrap_servers: str) -> None:
    """Makes the topics that do not exist; those that do stay as they are.

    Args:
        bootstrap_servers: `host:port[,host:port…]`

    Raises:
        TopicsError: see there.
    """
    asyncio.run(prepare_cluster(bootstrap_servers))


async def prepare_cluster(bootstrap_servers: str) -> Cluster:
    """Makes the topics that do not exist and says what there is; takes `ENSURE_SECONDS` at most.

    Raises:
        TopicsError: see there.
    """
    try:
        async with asyncio.timeout(ENSURE_SECONDS):
            return await _prepare(bootstrap_servers)
    except (KafkaError, OSError, TimeoutError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
        raise TopicsError(f"the topics could not be made at {bootstrap_servers}: {reason}") from error


async def _prepare(bootstrap_servers: str) -> Cluster:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        cluster_id = (await admin.describe_cluster())["cluster_id"] or ""
        if not cluster_id.startswith(BUILTIN_CLUSTER):
            existing = await admin.list_topics()
            await _create(admin, [topic for topic in TOPICS if topic not in existing])
        partitions: dict[str, int] = {}
        while len(partitions) < len(TOPICS):  # within ENSURE_SECONDS
            described = await admin.describe_topics(list(TOPICS))
            partitions = {topic["topic"]: len(topic["partitions"]) for topic in described if topic["partitions"]}
            if len(partitions) < len(TOPICS):
                await asyncio.sleep(0.1)  # a topic just made takes a moment to be known
        return Cluster(cluster_id, partitions)
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    if not names:
        return
    answer = await admin.create_topics([NewTopic(name, PARTITIONS, REPLICATION) for name in names])
    for _name, code, *message in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(*message)

"""Kafka after an older store was restored: what it tells that is not in the log, and making the topics anew.

The relay only detects it and stands still (`streams/kafka_check.py`); what is here is called by a person's command.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from psycopg import AsyncConnection

from adapters.cloudevents import UnreadableEvent, decode
from domain.published import USERS, PublishedEvent, UserErased
from streams import wire
from streams.kafka_check import StoreBehindKafka, check_kafka
from streams.publisher import LOOK_MS, Publisher
from streams.relay_state import RelayState
from streams.topics import REQUEST_TIMEOUT_MS, TOPICS, Cluster, TopicsError, prepare_cluster

AGAIN_SECONDS = 30.0
"""For deleting and making the topics; a broker takes a second, a cluster with many replicas some."""

MEMBERS_LEAVE_SECONDS = 15.0
"""A worker that was killed stays a member of its group until its session ends, after ten seconds."""

LOOK_SECONDS = 0.3

READ_AT_ONCE = 2_000
"""Records in memory, of some hundred bytes each."""

OF_THE_TOPIC = 1
"""Kafka's number for a setting that was made for this topic (DYNAMIC_TOPIC_CONFIG)."""


@dataclass(frozen=True, slots=True)
class KafkaFound:
    """What Kafka has of the log."""

    cluster: Cluster
    newest: int
    """The highest position among the last events of all partitions; 0 without any."""
    untrue: str | None
    """One thing it tells that is not in the log; None: nothing was found."""
    erased: set[UUID]
    """Everybody whose erasure it still tells."""


async def look_at_kafka(bootstrap_servers: str, connection: AsyncConnection[Any]) -> KafkaFound:
    """Compares the last event of every partition with the log.

    Raises:
        TopicsError, KafkaError, TimeoutError: Kafka is out of reach.
        psycopg.OperationalError: the database is away.
    """
    publisher = await Publisher.connect(bootstrap_servers)
    try:
        ends = await publisher.ends()
        places = [wire.places(record.headers) for record in await publisher.last_records(ends, ends)]
        newest = max((place[0] for place in places if place is not None), default=0)
        untrue = None
        try:
            # With no notes of what was left there, every partition is looked at.
            await check_kafka(publisher, RelayState(), connection)
        except StoreBehindKafka as behind:
            untrue = str(behind)
        return KafkaFound(publisher.cluster, newest, untrue, await read_erased(bootstrap_servers, publisher.cluster))
    finally:
        await publisher.close()


async def read_erased(bootstrap_servers: str, cluster: Cluster) -> set[UUID]:
    """Everybody whose erasure the users' topic tells, from its beginning to where it ends now.

    Raises:
        KafkaError, TimeoutError: Kafka is out of reach.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers, enable_auto_commit=False, request_timeout_ms=REQUEST_TIMEOUT_MS
    )
    await consumer.start()
    try:
        places = [TopicPartition(USERS, number) for number in range(cluster.partitions[USERS])]
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        consumer.assign(places)
        for place, offset in begins.items():
            consumer.seek(place, offset)
        waiting = {place for place in places if begins[place] < ends[place]}
        erased: set[UUID] = set()
        while waiting:
            batches = await consumer.getmany(*waiting, timeout_ms=LOOK_MS, max_records=READ_AT_ONCE)
            if not batches:
                raise TimeoutError("Kafka does not hand out what it has")
            for place, records in batches.items():
                erased |= {event.subject for event in map(_user_erased, records) if event is not None}
                if records[-1].offset + 1 >= ends[place]:
                    waiting.discard(place)
        return erased
    finally:
        await consumer.stop()


def _user_erased(record: ConsumerRecord) -> PublishedEvent | None:
    try:
        event = decode(record.value)
    except UnreadableEvent:
        return None  # another's, or of a later version
    return event if isinstance(event.data, UserErased) else None


async def group_is_empty(bootstrap_servers: str, group: str) -> bool:
    """Whether a consumer group has no members, or none any more after `MEMBERS_LEAVE_SECONDS`.

    Raises:
        KafkaError: Kafka is out of reach.
    """
    give_up_at = monotonic() + MEMBERS_LEAVE_SECONDS
    async with _admin(bootstrap_servers) as admin:
        while True:
            described = await _describe_group(admin, group, give_up_at)
            if not described["members"] or monotonic() > give_up_at:
                return not described["members"]
            await asyncio.sleep(LOOK_SECONDS)


async def make_topics_again(bootstrap_servers: str) -> None:
    """Deletes the topics and makes them again, empty, with the partitions, copies and settings they had. With them go
    the offsets that consumer groups committed in them.

    Raises:
        TopicsError: Kafka refused or did not do it in time. Calling it again is safe; topics that were deleted and not
            made again are made by whatever starts next, with the usual partitions.
    """
    try:
        async with asyncio.timeout(AGAIN_SECONDS), _admin(bootstrap_servers) as admin:
            topics = await _described(admin)
            answer = await admin.delete_topics([topic.name for topic in topics])
            _raise_errors(answer.topic_error_codes, UnknownTopicOrPartitionError)
            await _create(admin, topics)
    except (KafkaError, OSError, TimeoutError) as error:
        reason = "not done in time" if isinstance(error, TimeoutError) else str(error)
        raise TopicsError(f"the topics could not be made again at {bootstrap_servers}: {reason}") from error
    await prepare_cluster(bootstrap_servers)


@asynccontextmanager
async def _admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _describe_group(admin: AIOKafkaAdminClient, group: str, give_up_at: float) -> dict[str, Any]:
    """A cluster that never had a group needs a moment to make the topic that groups are kept in."""
    while True:
        try:
            answer = (await admin.describe_consumer_groups([group]))[0]
            described: dict[str, Any] = answer.to_object()["groups"][0]
            if described["error_code"]:
                raise for_code(described["error_code"])
        except KafkaError as error:
            if not error.retriable or monotonic() > give_up_at:
                raise
            await asyncio.sleep(LOOK_SECONDS)
        else:
            return described


async def _described(admin: AIOKafkaAdminClient) -> list[NewTopic]:
    """The topics as they are, in the form in which they can be made."""
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic) for topic in TOPICS])
    settings: dict[str, dict[str, str]] = {}
    for answer in answers:
        for _code, _message, _type, name, entries in answer.resources:
            settings[name] = {entry[0]: entry[1] for entry in entries if entry[3] == OF_THE_TOPIC}
    return [
        NewTopic(
            topic["topic"],
            len(topic["partitions"]),
            len(topic["partitions"][0]["replicas"]),
            topic_configs=settings.get(topic["topic"]),
        )
        for topic in await admin.describe_topics(list(TOPICS))
        if topic["partitions"]
    ]


async def _create(admin: AIOKafkaAdminClient, topics: list[NewTopic]) -> None:
    """Makes topics that are still being deleted, perhaps; within `AGAIN_SECONDS`."""
    waiting = topics
    while waiting:
        answer = await admin.create_topics(waiting)
        errors = [error[:2] for error in answer.topic_errors]
        _raise_errors(errors, TopicAlreadyExistsError)
        refused = {name for name, code in errors if code}
        waiting = [topic for topic in waiting if topic.name in refused]
        if waiting:
            await asyncio.sleep(LOOK_SECONDS)


def _raise_errors(errors: Iterable[tuple[str, int]], expected: type[KafkaError]) -> None:
    for name, code in errors:
        error = for_code(code)
        if code and error is not expected:
            raise error(f"{name}: {error.__name__}")

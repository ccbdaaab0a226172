"""The three topics, as somebody else's consumer reads them from the beginning."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.topics import prepare_cluster

READ_SECONDS = 60.0
"""For all topics together; a run publishes some ten thousand events."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a Kafka partition."""

    key: str
    subject: str
    sequence: int
    id: str
    data: str
    """Type and data as JSON, the names in order."""


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """All records of one, in order."""

    topic: str
    number: int
    records: tuple[Record, ...]
    complete: bool
    """Whether the broker has dropped nothing of it to save space."""


async def read_partitions(bootstrap_servers: str, house_cluster: str | None) -> list[Partition]:
    """Everything that is on Kafka now.

    Args:
        house_cluster: the id of the cluster that the relay publishes to.

    Raises:
        TopicsError, KafkaError, TimeoutError: it does not answer in time.
        RuntimeError: another cluster answers there, say of a run beside this one.
    """
    cluster = await prepare_cluster(bootstrap_servers)
    if cluster.id != house_cluster:
        raise RuntimeError(f"{bootstrap_servers} is Kafka cluster {cluster.id}, the relay's is {house_cluster}")
    places = [TopicPartition(topic, number) for topic, count in cluster.partitions.items() for number in range(count)]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    read: dict[Any, list[Record]] = {place: [] for place in places}
    async with asyncio.timeout(READ_SECONDS):
        await consumer.start()
        try:
            consumer.assign(places)
            begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
            await consumer.seek_to_beginning(*places)
            behind = [place for place in places if begins[place] < ends[place]]
            while behind:
                for place, messages in (await consumer.getmany(timeout_ms=500)).items():
                    read[place] += [_record(message) for message in messages]
                behind = [place for place in behind if await consumer.position(place) < ends[place]]
        finally:
            await consumer.stop()
    return [
        Partition(topic=place.topic, number=place.partition, records=tuple(records), complete=begins[place] == 0)
        for place, records in read.items()
    ]


def _record(message: Any) -> Record:
    event = msgspec.json.decode(message.value)
    return Record(
        key=message.key.decode(),
        subject=event["subject"],
        sequence=event["sequence"],
        id=event["id"],
        data=json.dumps([event["type"], event["data"]], sort_keys=True),
    )

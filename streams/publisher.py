"""Puts events on Kafka, in log order in every partition, and knows what Kafka has.

The producer is idempotent, so that its own retries neither repeat nor reorder. After any failure it is thrown away, and
the relay goes on from its last acknowledged position with a new one: events may come twice then, never out of order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from adapters.event_messages import Message
from streams import wire
from streams.murmur import partition_of
from streams.relay_state import Partition, RelayState
from streams.topics import Cluster, prepare_cluster

REQUEST_TIMEOUT_MS = 10_000
"""For one request; the producer repeats it."""

ACKNOWLEDGE_SECONDS = 15.0
"""For one batch. An idempotent producer of aiokafka tries for ever; a connection that hangs is better made anew."""

ENDS_SECONDS = 3.0
"""For the end offsets. aiokafka asks for those of a topic that is gone as long as a request may last; to connect anew
makes the topic, and is soon done."""

STOP_SECONDS = 3.0

MAX_BATCH_BYTES = 512 * 1024
"""Of one partition in one request, half of what a broker takes by default. aiokafka's own 16 KiB are twenty events: a
hot listing's went in ten requests a batch, and the built-in broker hands out one such piece a fetch."""

MAX_KNOWN_KEYS = 100_000
"""Partitions of keys in memory, about 25 MB; to know one costs a tenth of hashing the key."""

LAST_RECORDS = 100
"""How far back to look for a record of ours at the end of a partition; others' are not expected there at all."""

LOOK_MS = 2_000


class Wiped(Exception):
    """Kafka has less than was published to it, or is another cluster: what it had is gone."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A batch on its way."""

    partition: Partition
    count: int
    acknowledged: asyncio.Future[Any]
    """Metadata of its first record; the offset is -1 where the broker had the batch already."""


class Publisher:
    """One connection to Kafka. Every method may raise `aiokafka.errors.KafkaError` and `TimeoutError`."""

    def __init__(self, bootstrap_servers: str, cluster: Cluster) -> None:
        self.cluster = cluster
        self._all_partitions: dict[str, list[Partition]] = {
            topic: [(topic, number) for number in range(count)] for topic, count in cluster.partitions.items()
        }
        self._partition_of: dict[tuple[str, bytes], Partition] = {}
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            max_batch_size=MAX_BATCH_BYTES,
        )
        self._reader = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )

    @classmethod
    async def connect(cls, bootstrap_servers: str) -> Publisher:
        """Connects, and makes the topics if need be.

        Raises:
            TopicsError, KafkaError: Kafka is out of reach.
        """
        publisher = cls(bootstrap_servers, await prepare_cluster(bootstrap_servers))
        try:
            await publisher._producer.start()
            await publisher._reader.start()
        except BaseException:
            await publisher.close()
            raise
        return publisher

    async def close(self) -> None:
        """Gives the connections back; waits a bounded time for what is under way."""
        for part in (self._producer, self._reader):
            with suppress(Exception):
                await asyncio.wait_for(part.stop(), STOP_SECONDS)

    def partition(self, message: Message) -> Partition:
        """Where an event belongs: by its key, as Kafka's own clients have it."""
        place = message.topic, message.key
        known = self._partition_of.get(place)
        if known is None:
            if len(self._partition_of) >= MAX_KNOWN_KEYS:
                self._partition_of.clear()
            every = self._all_partitions[message.topic]
            known = self._partition_of[place] = every[partition_of(message.key, len(every))]
        return known

    async def publish(self, messages: Sequence[Message], state: RelayState) -> dict[Partition, int]:
        """Sends events, waits until all are acknowledged and notes that in `state`; returns the bytes by partition.

        Raises:
            Wiped: they were put where others had been before.
        """
        parts: dict[Partition, list[Message]] = {}
        for message in messages:
            parts.setdefault(self.partition(message), []).append(message)
        sent: list[_Sent] = []
        for partition, part in parts.items():
            sent += await self._send(partition, part, state.of(partition).last)
        async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
            acknowledged = await asyncio.gather(*(batch.acknowledged for batch in sent))
        for batch, record in zip(sent, acknowledged, strict=True):
            left = state.of(batch.partition)
            if 0 <= record.offset < left.end:
                raise Wiped(f"{'/'.join(map(str, batch.partition))} begins anew at offset {record.offset}")
            left.end = max(left.end, record.offset + batch.count)
        for partition, part in parts.items():
            state.of(partition).last = part[-1].position
        state.cluster = self.cluster.id
        state.position = messages[-1].position
        return {partition: sum(len(message.value) for message in part) for partition, part in parts.items()}

    async def _send(self, partition: Partition, messages: Iterable[Message], last: int) -> list[_Sent]:
        """Hands the events of a partition to the producer, in as many batches as they need.

        Args:
            last: the position of the event before them.
        """
        sent: list[_Sent] = []
        batch = self._producer.create_batch()
        for _, key, value, position in messages:
            headers = wire.headers(position, last)
            while batch.append(timestamp=None, key=key, value=value, headers=headers) is None:  # full
                sent.append(await self._send_batch(partition, batch))
                batch = self._producer.create_batch()
            last = position
        sent.append(await self._send_batch(partition, batch))
        return sent

    async def _send_batch(self, partition: Partition, batch: BatchBuilder) -> _Sent:
        """Hands a batch to the producer, which keeps those of a partition in order."""
        topic, number = partition
        return _Sent(partition, batch.record_count(), await self._producer.send_batch(batch, topic, partition=number))

    async def ends(self) -> dict[Partition, int]:
        """The end offset of every partition."""
        async with asyncio.timeout(ENDS_SECONDS):
            found = await self._reader.end_offsets(self._topic_partitions())
        return {(place.topic, place.partition): end for place, end in found.items()}

    async def last_records(self, partitions: Iterable[Partition], ends: dict[Partition, int]) -> list[ConsumerRecord]:
        """The last record of ours in each of the partitions, where there is one."""
        places = [TopicPartition(*partition) for partition in partitions]
        if not places:
            return []
        begins = await self._reader.beginning_offsets(places)
        targets = {place: ends[place.topic, place.partition] for place in places}
        self._reader.assign(places)
        for place, end in targets.items():
            self._reader.seek(place, max(begins[place], end - LAST_RECORDS))
        waiting = {place for place in places if begins[place] < targets[place]}
        last: dict[TopicPartition, ConsumerRecord] = {}
        try:
            while waiting:
                batches = await self._reader.getmany(*waiting, timeout_ms=LOOK_MS)
                if not batches:
                    raise TimeoutError("Kafka does not hand out what it has")
                for place, records in batches.items():
                    ours = [record for record in records if wire.places(record.headers) is not None]
                    if ours:
                        last[place] = ours[-1]
                    if records[-1].offset + 1 >= targets[place]:
                        waiting.discard(place)
        finally:
            self._reader.unsubscribe()
        return list(last.values())

    def _topic_partitions(self) -> list[TopicPartition]:
        return [TopicPartition(*partition) for every in self._all_partitions.values() for partition in every]

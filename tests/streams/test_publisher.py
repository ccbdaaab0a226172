"""What the relay hands to the producer, where that takes more than one batch."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from adapters.event_messages import Message
from streams import wire
from streams.publisher import MAX_BATCH_BYTES, Publisher
from streams.relay_state import RelayState
from streams.topics import Cluster


@pytest.fixture
async def publisher() -> Publisher:
    """One that is not connected."""
    return Publisher("127.0.0.1:1", Cluster("a cluster", {"topic": 4}))


async def test_more_than_a_batch_takes_follows_in_order_and_says_so(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: dict[int, list[Any]] = {}
    batches: dict[int, int] = {}

    async def send_batch(batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[Any]:
        assert topic == "topic"
        of_partition = records.setdefault(partition, [])
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(SimpleNamespace(offset=len(of_partition)))
        read = MemoryRecords(bytes(batch._build()))
        while (some := read.next_batch()) is not None:
            of_partition += some
        batches[partition] = batches.get(partition, 0) + 1
        return acknowledged

    monkeypatch.setattr(publisher._producer, "send_batch", send_batch)
    monkeypatch.setattr(publisher._producer, "create_batch", lambda: BatchBuilder(MAX_BATCH_BYTES, 0))
    keys = [b"%036d" % number for number in range(20)]
    messages = [Message("topic", keys[at % 20], bytes(5_000), 10 * at + 10) for at in range(1_000)]
    state = RelayState()
    for partition in range(4):
        state.of(("topic", partition)).last = 5
    sizes = await publisher.publish(messages, state)

    assert max(batches.values()) > 1
    assert state.position == 10_000
    assert sum(map(len, records.values())) == len(messages)
    for number, those in records.items():
        mine = [message for message in messages if publisher.partition(message) == ("topic", number)]
        assert [(record.key, record.value) for record in those] == [(message.key, message.value) for message in mine]
        positions = [message.position for message in mine]
        assert [wire.places(record.headers) for record in those] == list(
            zip(positions, [5, *positions[:-1]], strict=True)
        )
        left = state.of(("topic", number))
        assert (left.end, left.last) == (len(mine), positions[-1])
        assert sizes["topic", number] == 5_000 * len(mine)

"""Making the topics, on both brokers."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError

from streams.topics import PARTITIONS, TOPICS, TopicsError, ensure_topics, prepare_cluster


@pytest.mark.long
async def test_apache_kafka_is_told_how_many_partitions(apache: str) -> None:
    await asyncio.to_thread(ensure_topics, apache)
    cluster = await prepare_cluster(apache)
    assert cluster.partitions == dict.fromkeys(TOPICS, PARTITIONS)
    assert not cluster.builtin
    assert cluster.id


async def test_the_builtin_broker_makes_topics_in_its_own_way(make_builtin) -> None:  # type: ignore[no-untyped-def]
    address = await make_builtin().address()
    await asyncio.to_thread(ensure_topics, address)
    cluster = await prepare_cluster(address)
    assert cluster.partitions == dict.fromkeys(TOPICS, 4)
    assert cluster.builtin


def test_an_unreachable_broker_is_said_in_one_line() -> None:
    with pytest.raises(TopicsError, match=r"could not be made at 127\.0\.0\.1:9") as raised:
        ensure_topics("127.0.0.1:9")
    assert isinstance(raised.value.__cause__, KafkaConnectionError)
    assert "\n" not in str(raised.value)

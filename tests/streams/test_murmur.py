"""Keys go to the partitions where every Kafka client looks for them."""

from __future__ import annotations

from uuid import UUID

from aiokafka import partitioner
from hypothesis import given
from hypothesis import strategies as st

from streams.murmur import murmur2, partition_of


@given(st.binary(max_size=100))
def test_the_hash_is_aiokafkas(data: bytes) -> None:
    assert murmur2(data) == partitioner.murmur2(data)


@given(st.uuids(), st.integers(1, 100))
def test_so_is_the_partition_of_an_id(subject: UUID, count: int) -> None:
    every, key = list(range(count)), str(subject).encode()
    assert partition_of(key, count) == partitioner.DefaultPartitioner()(key, every, every)

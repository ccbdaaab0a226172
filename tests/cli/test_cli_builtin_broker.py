"""The broker in librdkafka, as the process `stagedoor up` runs it, with the clients the marketplace uses."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from cli.embedded import builtin_broker
from cli.embedded.console import Console
from cli.supervisor import Supervisor


def start(supervisor: Supervisor, console: Console, data_dir: Path) -> list[str]:
    """Returns the addresses it had so far, and has from now on."""
    addresses: list[str] = []
    supervisor.start(builtin_broker.part(data_dir, console, addresses.append, dependents=()))
    return addresses


async def produce(address: str, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def consume(address: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, group_id="readers", auto_offset_reset="earliest")
    await consumer.start()
    try:
        values = [(await consumer.getone()).value for _ in range(count)]
        await consumer.commit()
        return values
    finally:
        await consumer.stop()


async def test_produce_and_consume(supervisor: Supervisor, console: Console, tmp_path: Path) -> None:
    [address] = start(supervisor, console, tmp_path)
    assert address.startswith("127.0.0.1:")
    await produce(address, "tickets", [b"1", b"2", b"3"])
    assert await consume(address, "tickets", 3) == [b"1", b"2", b"3"]
    assert f"built-in broker on {address}" in console.stream.getvalue()  # type: ignore[attr-defined]


async def test_after_a_kill_it_is_empty_and_elsewhere(
    supervisor: Supervisor, console: Console, tmp_path: Path, eventually
) -> None:
    addresses = start(supervisor, console, tmp_path)
    await produce(addresses[0], "tickets", [b"lost"])
    os.kill(supervisor.pids()["broker"], signal.SIGKILL)
    eventually(lambda: supervisor.tick() or len(addresses) == 2)
    assert addresses[1] != addresses[0]
    await produce(addresses[1], "tickets", [b"new"])
    assert await consume(addresses[1], "tickets", 1) == [b"new"]


async def test_how_much_a_partition_keeps(supervisor: Supervisor, console: Console, tmp_path: Path) -> None:
    """The figure in the module's description: 5 MiB; what goes beyond is dropped from the front."""
    [address] = start(supervisor, console, tmp_path)
    await produce(address, "tickets", [b"x" * 100_000] * 60)
    consumer = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition("tickets", 0)
        consumer.assign([partition])
        first = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
    finally:
        await consumer.stop()
    assert end == 60
    assert (end - first) * 100_000 <= 5 * 1024 * 1024 < (end - first + 1) * 100_200

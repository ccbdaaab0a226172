"""Relay, worker and broker as real processes, and what tests ask of Kafka and the database."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from confluent_kafka.admin import AdminClient

from adapters.cloudevents import decode
from domain.published import PublishedEvent
from projections.models import MODELS
from streams.topics import TOPICS

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0


class Part:
    """One `stagedoor` command in a process of its own."""

    def __init__(self, name: str, folder: Path, *arguments: str, **environment: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._arguments = arguments
        self._environment = {**os.environ, "STAGEDOOR_DATA_DIR": str(folder), **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Part:
        with self.log.open("ab") as output:
            command = [sys.executable, "-W", "ignore", "-m", "cli.main", self.name.split("-")[0], *self._arguments]
            self.process = subprocess.Popen(
                command, env=self._environment, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
            )
        return self

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and until it is gone."""
        self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to end; its exit code."""
        self.send(number)
        assert self.process is not None
        return self.process.wait(30)

    def end(self) -> None:
        """Whatever state it is in, it is gone afterwards."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()

    def said(self, text: str) -> bool:
        return text in self.log.read_text()


@contextmanager
def parts() -> Iterator[list[Part]]:
    """Ends every part put into the list."""
    started: list[Part] = []
    try:
        yield started
    finally:
        for part in started:
            part.end()


async def eventually(
    check: Callable[[], Any | Awaitable[Any]], what: str = "", seconds: float = PATIENCE_SECONDS
) -> Any:
    """Waits until `check` returns something true."""
    give_up_at = time.monotonic() + seconds
    while True:
        found = check()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < give_up_at, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.05)


def rows(database_url: str, query: str, *parameters: Any) -> list[Any]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        cursor = connection.execute(query.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


def log_end(database_url: str) -> int:
    end: int = rows(database_url, "SELECT COALESCE(max(notification_id), 0) FROM stored_events")[0][0]
    return end


def is_published(database_url: str) -> bool:
    """Whether the relay is at the log's end."""
    return bool(rows(database_url, "SELECT position FROM relay_state")[0][0] >= log_end(database_url))


def is_projected(database_url: str) -> bool:
    """Whether as many events were applied as the log has."""
    versions = " + ".join(f"(SELECT COALESCE(sum(version), 0) FROM {model})" for model in MODELS)
    return bool(rows(database_url, f"SELECT {versions} = (SELECT count(*) FROM stored_events)")[0][0])


async def everything_on(bootstrap_servers: str) -> dict[TopicPartition, list[ConsumerRecord]]:
    """All records of our topics, by partition, in order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    try:
        places = []
        for topic in TOPICS:
            await consumer._client.force_metadata_update()
            places += [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends = await consumer.end_offsets(places)
        begins = await consumer.beginning_offsets(places)
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        found: dict[TopicPartition, list[ConsumerRecord]] = {place: [] for place in places}
        while any(len(found[place]) < ends[place] - begins[place] for place in places):
            for place, records in (await consumer.getmany(timeout_ms=5_000)).items():
                found[place] += records
        return found
    finally:
        await consumer.stop()


async def assert_all_is_on(bootstrap_servers: str, log: list[PublishedEvent], *, repeated: bool = False) -> int:
    """Every event of the log is on Kafka; each key's events first come in sequence, and once unless `repeated`.

    Returns how many came more than once.
    """
    seen: dict[UUID, int] = {}
    events: set[tuple[UUID, int]] = set()
    count = 0
    for place, records in (await everything_on(bootstrap_servers)).items():
        for record in records:
            event = decode(record.value)
            assert event.topic == place.topic
            assert record.key == str(event.subject).encode()
            reached = seen.get(event.subject, 0)
            assert event.sequence <= reached + 1, "an event overtook its predecessor"
            seen[event.subject] = max(reached, event.sequence)
            events.add((event.subject, event.sequence))
            count += 1
    assert events == {(event.subject, event.sequence) for event in log}
    if not repeated:
        assert count == len(log)
    return count - len(log)


def wipe(bootstrap_servers: str) -> None:
    """Deletes our topics."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    existing = [topic for topic in TOPICS if topic in admin.list_topics(timeout=10).topics]
    if existing:
        for deleted in admin.delete_topics(existing, operation_timeout=20).values():
            deleted.result(30)
    give_up_at = time.monotonic() + 20
    while any(topic in admin.list_topics(timeout=10).topics for topic in TOPICS):
        assert time.monotonic() < give_up_at
        time.sleep(0.1)

"""What is between Kafka and an agent: bundles, and how far they are done. Rebalances are in `tests/faults`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from projections.models import MODELS
from streams.app import make_app
from streams.transport import Bundle, Consumer

ORDERS, TICKETS = "stagedoor.orders", "stagedoor.tickets"


def record(offset: int) -> Any:
    return SimpleNamespace(offset=offset, timestamp=1_000, timestamp_type=0)


def bundle(ends: dict[TP, int]) -> Bundle:
    return Bundle({place: [record(end - 1), record(end)] for place, end in ends.items()}, 1)


@pytest.fixture
async def consumer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Consumer:
    """A consumer that has all partitions of two topics, and no broker."""
    projectors: Any = {model: SimpleNamespace(projection=projection) for model, projection in MODELS.items()}
    app = make_app("127.0.0.1:9", projectors, [], str(tmp_path))
    made: Consumer = app.consumer
    places = {TP(topic, number) for topic in (ORDERS, TICKETS) for number in range(3)}
    monkeypatch.setattr(made, "assignment", lambda: places)
    made._set_active_tps(places)
    return made


async def fetched(consumer: Consumer, monkeypatch: pytest.MonkeyPatch, found: dict[TP, list[Any]]) -> list[Bundle]:
    async def next_records(_timeout: float) -> tuple[dict[TP, list[Any]], set[TP]]:
        return found, consumer._get_active_partitions()

    monkeypatch.setattr(consumer, "_wait_next_records", next_records)
    monkeypatch.setattr(consumer, "flow_active", True)
    return [message async for _, message in consumer.getmany(1.0)]


async def test_what_comes_at_once_is_one_bundle_a_topic(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        TP(ORDERS, 0): [record(4), record(5)],
        TP(TICKETS, 2): [record(7)],
        TP(ORDERS, 2): [record(1)],
    }
    orders, tickets = await fetched(consumer, monkeypatch, found)
    assert [r.offset for r in orders.records] == [4, 5, 1]
    assert orders.ends == {TP(ORDERS, 0): 5, TP(ORDERS, 2): 1}
    assert (orders.tp, orders.offset, tickets.tp, tickets.offset) == (TP(ORDERS, 0), 5, TP(TICKETS, 2), 7)


async def test_what_was_read_before_does_not_hold_back_the_others(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fetched(consumer, monkeypatch, {TP(ORDERS, 0): [record(5)], TP(ORDERS, 1): [record(5)]})
    (again,) = await fetched(consumer, monkeypatch, {TP(ORDERS, 0): [record(4)], TP(ORDERS, 1): [record(6)]})
    assert again.ends == {TP(ORDERS, 1): 6}
    assert await fetched(consumer, monkeypatch, {TP(ORDERS, 0): [record(4)]}) == []


async def test_a_bundle_that_is_done_is_done_in_every_partition(consumer: Consumer) -> None:
    first, second = bundle({TP(ORDERS, 0): 5, TP(ORDERS, 1): 9}), bundle({TP(ORDERS, 0): 8})
    consumer._committed_offset[TP(ORDERS, 2)] = 30
    stale = bundle({TP(ORDERS, 2): 20})
    consumer._unacked_messages.update((first, second, stale))
    for message in (first, second, stale):
        assert consumer.ack(message)
        assert not consumer.ack(message)
    assert not consumer.unacked
    assert [consumer._new_offset(TP(ORDERS, number)) for number in range(3)] == [9, 10, None]
    assert consumer._new_offset(TP(ORDERS, 0)) is None


async def test_a_topic_that_is_not_kept_up_with_is_not_asked_for_and_others_are(consumer: Consumer) -> None:
    active = consumer._get_active_partitions()
    consumer.on_buffer_full(TP(ORDERS, 1))
    assert {place.topic for place in active} == {TICKETS}
    consumer.on_buffer_drop(TP(ORDERS, 0))
    assert active == consumer.assignment()


@pytest.mark.parametrize(
    ("records", "least", "most"), [(0, 0.0, 0.0), (1, 0.0, 0.001), (30, 0.01, 0.02), (500, 0.015, 0.02)]
)
async def test_the_more_came_the_longer_more_gathers_before_the_next_question(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch, records: int, least: float, most: float
) -> None:
    async def fetch(*_: Any) -> dict[TP, list[Any]]:
        return {TP(ORDERS, 0): [record(offset) for offset in range(records)]}

    asked: list[float] = []

    async def ask(_question: str) -> bool:
        asked.append(monotonic())
        return True

    async def start(_self: Any) -> None:
        thread._consumer = SimpleNamespace(_fetcher=SimpleNamespace(_proc_fetch_request=ask))

    thread = consumer._thread
    monkeypatch.setattr(AIOKafkaConsumerThread, "on_start", start)
    monkeypatch.setattr(AIOKafkaConsumerThread, "_fetch_records", fetch)
    await thread.on_start()
    began = monotonic()
    await thread._fetch_records()
    fetcher = thread._consumer._fetcher
    assert await fetcher._proc_fetch_request("what is new?")
    assert asked[0] >= thread._ask_at
    assert least <= thread._ask_at - began <= most + 0.5  # the machine may be busy

    thread._ask_at = monotonic() + 60
    waiting = asyncio.create_task(fetcher._proc_fetch_request("and now?"))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await waiting is False
    assert len(asked) == 1

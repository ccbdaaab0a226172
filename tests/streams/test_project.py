"""Applying batches: whatever is delivered, the rows are the fold of the log; what cannot be applied is parked."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.event_log import EventLog
from domain.published import PublishedEvent
from projections.models import MODELS
from projections.projection import Projection
from projections.rebuild import rebuild
from projections.user_status import USER_STATUS
from streams.log_reader import LogReader
from streams.project import Projector
from tests.projections.stories import Story, append, assert_rows_are_the_fold, expected_rows, stored_rows
from tests.streams.messages import PARTITIONS, Topic, unreadable
from tests.streams.parts import rows

ORDERS_MODEL = MODELS["buyer_orders"]


@pytest.fixture
def story(database_url: str) -> Story:
    """A story whose events are in the store's log."""
    told = Story(31, listings=4).tell(250)
    append(database_url, told.events)
    return told


@pytest.fixture
async def events(story: Story, pool: AsyncConnectionPool) -> list[PublishedEvent]:
    """The story as it stands in the log."""
    return await EventLog(pool).after(0, limit=10_000)


@pytest.fixture
def orders(events: list[PublishedEvent]) -> Topic:
    """The orders' topic with all of it."""
    return Topic(ORDERS_MODEL.topic).send(events)


@pytest.fixture
def projector(pool: AsyncConnectionPool) -> Projector:
    return Projector(ORDERS_MODEL, pool)


def shown(database_url: str, projection: Projection = ORDERS_MODEL) -> dict[UUID, Any]:
    return stored_rows(database_url, projection)


def parked(database_url: str) -> list[Any]:
    return rows(
        database_url, "SELECT aggregate_id, sequence, kafka_offset, error FROM parked_events ORDER BY sequence, id"
    )


def checkpoints(database_url: str) -> dict[int, int]:
    return dict(rows(database_url, "SELECT partition, position FROM checkpoints"))


async def test_every_topic_in_order_is_the_fold(
    events: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str
) -> None:
    for projection in MODELS.values():
        topic = Topic(projection.topic).send(events)
        deliveries = topic.deliveries()
        for at in range(0, len(deliveries), 50):
            await Projector(projection, pool).apply(deliveries[at : at + 50])
    assert_rows_are_the_fold(database_url, events)


@pytest.mark.parametrize("seed", range(12))
async def test_any_interleaving_repetition_and_loss_is_the_fold(
    seed: int, events: list[PublishedEvent], orders: Topic, projector: Projector, database_url: str
) -> None:
    """Messages come twice, out of order and not at all, in batches of any size; only the last of a partition comes."""
    random = Random(seed)
    lasts = {message.partition: message for message in orders.messages}
    delivered: list[Any] = []
    for message in orders.messages:
        if random.random() < 0.9:
            delivered.append(message)
        if random.random() < 0.1:
            delivered += random.sample(delivered, k=min(len(delivered), 5))
        if random.random() < 0.1:
            delivered[-3:] = random.sample(delivered[-3:], k=len(delivered[-3:]))
    delivered += lasts.values()
    at = 0
    while at < len(delivered):
        size = random.choice((1, 2, 10, 60))
        await projector.apply(orders.deliveries(delivered[at : at + size]))
        at += size
    assert shown(database_url) == expected_rows(ORDERS_MODEL, events)
    assert parked(database_url) == []
    assert checkpoints(database_url) == {
        partition: max(e.position for e in events if e.topic == orders.name and e.subject.int % PARTITIONS == partition)
        for partition in range(PARTITIONS)
    }


async def test_the_same_batch_again_changes_nothing(orders: Topic, projector: Projector, database_url: str) -> None:
    await projector.apply(orders.deliveries())
    before = rows(database_url, "SELECT id, xmin FROM buyer_orders ORDER BY id")
    await projector.apply(orders.deliveries())
    assert rows(database_url, "SELECT id, xmin FROM buyer_orders ORDER BY id") == before


async def test_a_gap_of_one_aggregate_is_read_from_the_log(
    events: list[PublishedEvent], projector: Projector, database_url: str
) -> None:
    """Also of messages that do not say what came before them in the partition."""
    of_one = next(run for run in runs(events, ORDERS_MODEL).values() if len(run) >= 4)
    topic = Topic(ORDERS_MODEL.topic)
    for event in (of_one[0], of_one[3]):
        topic.send([event])
        topic.messages[-1].headers = None
    await projector.apply(topic.deliveries())
    version, columns = shown(database_url)[of_one[0].subject]
    assert version >= 4
    assert columns == expected_rows(ORDERS_MODEL, of_one[:version])[of_one[0].subject][1]


async def test_what_a_partition_lost_is_noticed_by_the_next_message_of_anybody(
    events: list[PublishedEvent], orders: Topic, projector: Projector, database_url: str
) -> None:
    """Nothing else would tell of an order whose last event was lost."""
    half = len(orders.messages) // 2
    await projector.apply(orders.deliveries(orders.messages[:half]))
    lasts = {message.partition: message for message in orders.messages}
    await projector.apply(orders.deliveries(lasts.values()))
    assert shown(database_url) == expected_rows(ORDERS_MODEL, events)


async def test_an_unreadable_event_is_parked_with_what_follows_and_others_flow(
    events: list[PublishedEvent],
    projector: Projector,
    pool: AsyncConnectionPool,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    victim = next(run for run in runs(events, ORDERS_MODEL).values() if len(run) >= 4)
    sent = [unreadable(event) if event is victim[1] else event for event in events]
    topic = Topic(ORDERS_MODEL.topic).send(sent)
    for delivery in topic.deliveries():
        await projector.apply([delivery])
    subject = victim[0].subject
    expected = expected_rows(ORDERS_MODEL, events)
    assert shown(database_url)[subject] == expected_rows(ORDERS_MODEL, victim[:1])[subject]
    assert {i: row for i, row in shown(database_url).items() if i != subject} == {
        i: row for i, row in expected.items() if i != subject
    }
    assert [row[:2] for row in parked(database_url)] == [(subject, event.sequence) for event in victim[1:]]
    assert parked(database_url)[0][3] == "cannot be read: from the future"
    said = [record.getMessage() for record in caplog.records if "is parked" in record.getMessage()]
    assert said == [f"buyer_orders {subject}/2 is parked, and 0 more events: cannot be read: from the future"]
    assert max(checkpoints(database_url).values()) == topic_end(events, ORDERS_MODEL)

    # Delivered again, nothing is parked twice; rebuilt by a version that can read it, all is well, and stays so.
    await projector.apply(topic.deliveries())
    assert len(parked(database_url)) == len(victim) - 1
    await rebuild(pool, EventLog(pool), [ORDERS_MODEL])
    assert parked(database_url) == []
    assert shown(database_url) == expected
    await projector.apply(topic.deliveries())
    assert parked(database_url) == []
    assert shown(database_url) == expected


async def test_in_one_batch_what_came_before_the_poison_is_applied(
    events: list[PublishedEvent], projector: Projector, database_url: str
) -> None:
    victim = next(run for run in runs(events, ORDERS_MODEL).values() if len(run) >= 4)
    topic = Topic(ORDERS_MODEL.topic).send([*victim[:2], unreadable(victim[2]), *victim[3:]])
    await projector.apply(topic.deliveries())
    assert shown(database_url)[victim[0].subject][0] == 2
    assert [row[1] for row in parked(database_url)] == [event.sequence for event in victim[2:]]


async def test_an_event_that_cannot_be_projected_is_parked(
    events: list[PublishedEvent], pool: AsyncConnectionPool, database_url: str
) -> None:
    victim = next(run for run in runs(events, ORDERS_MODEL).values() if len(run) >= 3)

    def project(event: PublishedEvent) -> dict[str, Any]:
        if event is not victim[0] and event.subject == victim[0].subject and event.sequence == 2:
            raise LookupError("what is this")
        return ORDERS_MODEL.project(event)

    broken = Projection(ORDERS_MODEL.model, ORDERS_MODEL.topic, ORDERS_MODEL.columns, project)
    await Projector(broken, pool).apply(Topic(ORDERS_MODEL.topic).send(events).deliveries())
    assert shown(database_url)[victim[0].subject][0] == 1
    assert parked(database_url)[0][1:] == (2, parked(database_url)[0][2], "LookupError: what is this")
    assert parked(database_url)[1][3] == "follows a parked event"


async def test_a_row_that_the_database_refuses_is_parked_alone(
    events: list[PublishedEvent], orders: Topic, projector: Projector, database_url: str
) -> None:
    victim = orders.messages[0].key.decode()
    rows(database_url, f"ALTER TABLE buyer_orders ADD CHECK (id <> '{victim}')")
    await projector.apply(orders.deliveries())
    expected = expected_rows(ORDERS_MODEL, events)
    del expected[UUID(victim)]
    assert shown(database_url) == expected
    assert {row[0] for row in parked(database_url)} == {UUID(victim)}
    assert "CheckViolation" in parked(database_url)[0][3]


@pytest.mark.parametrize(
    ("value", "key"), [(b"", b""), (b"{", b"\xff"), (b'{"sequence": "x"}', b"not an id"), (b"\xff", b"1")]
)
async def test_a_message_of_somebody_else_is_parked(
    projector: Projector, orders: Topic, database_url: str, value: bytes, key: bytes
) -> None:
    topic = Topic(orders.name)
    topic.put(value, key, None, partition=2)
    await projector.apply(topic.deliveries())
    await projector.apply(topic.deliveries())
    assert [row[:3] for row in parked(database_url)] == [(None, None, 0)]
    assert "cannot be read" in parked(database_url)[0][3]
    assert checkpoints(database_url) == {}


async def test_an_event_on_the_wrong_topic_or_under_the_wrong_key_is_parked(
    events: list[PublishedEvent], pool: AsyncConnectionPool, projector: Projector, database_url: str
) -> None:
    user = next(event for event in events if event.topic == USER_STATUS.topic)
    order = next(event for event in events if event.topic == ORDERS_MODEL.topic)
    topic = Topic(ORDERS_MODEL.topic)
    for event, key in ((user, str(user.subject)), (order, str(uuid4()))):
        sent = Topic(event.topic).send([event]).messages[0]
        topic.put(sent.value, key.encode(), sent.headers)
    await projector.apply(topic.deliveries())
    assert {row[3] for row in parked(database_url)} == {
        "UserCreated does not belong to stagedoor.orders", "the key is not the subject",
    }  # fmt: skip
    assert shown(database_url) == {}


async def test_an_unreadable_event_met_in_the_log_is_parked_too(
    story: Story, events: list[PublishedEvent], pool: AsyncConnectionPool, projector: Projector, database_url: str
) -> None:
    victim = next(order for order in story.orders if order.status == "completed")
    rows(
        database_url,
        "INSERT INTO stored_events VALUES (%s, %s, 'stagedoor.Order.FromTheFuture', '{}')",
        victim.id, victim.version + 1,
    )  # fmt: skip
    told = len(story.events)
    append(database_url, story.tell(60).events[told:])
    readable = [entry for entry in await LogReader(pool).after(0, limit=10_000) if isinstance(entry, PublishedEvent)]
    # The last message of each partition comes, and says that all before it is missing.
    topic = Topic(ORDERS_MODEL.topic).send(readable)
    lasts = {message.partition: message for message in topic.messages}
    await projector.apply(topic.deliveries(lasts.values()))
    assert [(row[0], row[1], row[2]) for row in parked(database_url)] == [(victim.id, victim.version + 1, None)]
    assert shown(database_url) == expected_rows(ORDERS_MODEL, readable)
    assert len(events) < len(readable)


async def test_a_gap_that_the_log_has_too_is_parked(
    events: list[PublishedEvent], projector: Projector, database_url: str
) -> None:
    victim = next(run for run in runs(events, ORDERS_MODEL).values() if len(run) >= 3)
    rows(
        database_url,
        "DELETE FROM stored_events WHERE originator_id = %s AND originator_version = 2",
        victim[0].subject,
    )
    topic = Topic(ORDERS_MODEL.topic).send([victim[0], *victim[2:]])
    await projector.apply(topic.deliveries())
    assert shown(database_url)[victim[0].subject][0] == 1
    assert [row[1] for row in parked(database_url)] == [event.sequence for event in victim[2:]]
    assert "SequenceGap" in parked(database_url)[0][3]


async def test_with_the_database_away_it_waits_and_goes_on(
    events: list[PublishedEvent], orders: Topic, projector: Projector, database_url: str
) -> None:
    rows(database_url, "ALTER TABLE buyer_orders RENAME TO buyer_orders_away")
    handling = asyncio.ensure_future(projector.handle(orders.deliveries()))
    await asyncio.sleep(0.5)
    assert not handling.done()
    rows(
        database_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    await asyncio.sleep(0.3)
    assert not handling.done()
    rows(database_url, "ALTER TABLE buyer_orders_away RENAME TO buyer_orders")
    await asyncio.wait_for(handling, 10)
    assert shown(database_url) == expected_rows(ORDERS_MODEL, events)
    assert parked(database_url) == []


async def test_a_hot_listing_far_behind_is_caught_up_in_bounded_bites(
    pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.project.LOG_CHUNK", 20)
    story = Story(3, listings=1, prices=(2500,))
    while story.tickets[0].version < 120:
        story.buyer_orders()
        story.buyer_cancels()
    append(database_url, story.events)
    listings = MODELS["ticket_listing"]
    log = await EventLog(pool).after(0, limit=10_000)
    hot = max(runs(log, listings).values(), key=len)
    assert len(hot) > 100
    topic = Topic(listings.topic).send([hot[-1]])
    topic.messages[0].headers = None
    await Projector(listings, pool).apply(topic.deliveries())
    assert shown(database_url, listings)[hot[0].subject] == expected_rows(listings, hot)[hot[0].subject]


async def test_two_workers_with_the_same_messages_do_no_harm(
    events: list[PublishedEvent], orders: Topic, pool: AsyncConnectionPool, database_url: str
) -> None:
    """As after a rebalance, when a paused worker wakes."""
    deliveries = orders.deliveries()

    async def work(size: int) -> None:
        projector = Projector(ORDERS_MODEL, pool)
        for at in range(0, len(deliveries), size):
            await projector.handle(deliveries[at : at + size])

    await asyncio.gather(work(7), work(31), work(100))
    assert shown(database_url) == expected_rows(ORDERS_MODEL, events)
    assert parked(database_url) == []


def runs(events: list[PublishedEvent], projection: Projection) -> dict[UUID, list[PublishedEvent]]:
    found: dict[UUID, list[PublishedEvent]] = {}
    for event in events:
        if event.topic == projection.topic:
            found.setdefault(event.subject, []).append(event)
    return found


def topic_end(events: list[PublishedEvent], projection: Projection) -> int:
    return max(event.position for event in events if event.topic == projection.topic)


async def test_an_error_of_the_database_is_never_an_events_fault(
    orders: Topic, projector: Projector, database_url: str
) -> None:
    rows(database_url, "ALTER TABLE checkpoints RENAME TO checkpoints_away")
    with pytest.raises(psycopg.Error):
        await projector.apply(orders.deliveries())
    rows(database_url, "ALTER TABLE checkpoints_away RENAME TO checkpoints")
    assert parked(database_url) == []

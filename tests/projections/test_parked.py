"""Another try for parked events, alone and beside a worker: nothing is lost, nothing is applied out of order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.event_log import EventLog
from domain.published import PublishedEvent
from projections import parked as module
from projections.models import MODELS
from projections.parked import Dropped, ParkedEvents, Place, Retried, count_parked
from projections.projection import Columns, Projection
from projections.rebuild import rebuild
from projections.user_status import USER_STATUS
from projections.writer import Parked, Writer
from streams.project import Projector
from tests.operations.poison import UNKNOWN, deliver, deliveries, hide, mend, runs
from tests.projections.stories import Story, append, expected_rows, stored_rows
from tests.streams.messages import Topic
from tests.streams.parts import eventually, rows

ORDERS = MODELS["buyer_orders"]
TICKETS = MODELS["ticket_listing"]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker runs beside most tests, so there is nothing to wait for."""
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.01)


@dataclass
class Scene:
    """A story in the store's log, and one order of it, with five events at least, for things to happen to."""

    database_url: str
    pool: AsyncConnectionPool
    events: list[PublishedEvent]
    victim: list[PublishedEvent]
    lot: ParkedEvents

    @property
    def place(self) -> Place:
        return ORDERS.model, self.victim[0].subject

    def hide(self, version: int, name: str = UNKNOWN) -> None:
        hide(self.database_url, self.victim[0].subject, version, name)

    def mend(self, version: int) -> None:
        mend(self.database_url, self.victim[0].subject, version)

    async def poisoned(self) -> Scene:
        """The order's second event cannot be read: the worker has parked it with what follows."""
        self.hide(2)
        await deliver(self.pool, ORDERS)
        return self

    def parked(self) -> list[tuple[int | None, str]]:
        return rows(self.database_url, "SELECT sequence, error FROM parked_events ORDER BY sequence, id")

    def row(self) -> tuple[int, Columns]:
        return stored_rows(self.database_url, ORDERS)[self.victim[0].subject]

    def row_after(self, version: int) -> tuple[int, Columns]:
        """What the row has to be."""
        return expected_rows(ORDERS, self.victim[:version])[self.victim[0].subject]

    def all_is_well(self) -> bool:
        return stored_rows(self.database_url, ORDERS) == expected_rows(ORDERS, self.events)

    async def retry_all(self) -> None:
        await self.lot.retry([(stuck.model, stuck.aggregate_id) for stuck in await self.lot.stuck()])


@pytest.fixture
async def scene(pool: AsyncConnectionPool, database_url: str) -> Scene:
    log = EventLog(pool)
    append(database_url, Story(31, listings=4).tell(250).events)
    events = await log.after(0, limit=10_000)
    victim = next(run for run in runs(events, ORDERS).values() if len(run) >= 5)
    return Scene(database_url, pool, events, victim, ParkedEvents(pool, log))


# What becomes of it ---------------------------------------------------------------------------------------------------


async def test_once_the_event_can_be_read_everything_is_applied(scene: Scene) -> None:
    await scene.poisoned()
    last = len(scene.victim)
    assert [sequence for sequence, _ in scene.parked()] == list(range(2, last + 1))
    again = await deliveries(scene.pool, ORDERS)
    scene.mend(2)
    assert not scene.all_is_well()
    assert await scene.lot.retry([scene.place]) == [Retried(*scene.place, applied=last - 1, version=last)]
    assert scene.parked() == []
    assert scene.all_is_well()
    # Kafka delivers it all again, the unreadable message as it was: nothing changes.
    await deliver(scene.pool, ORDERS, again)
    assert scene.parked() == []
    assert scene.all_is_well()


async def test_what_fails_again_stays_parked_with_the_new_error(scene: Scene) -> None:
    await scene.poisoned()
    scene.mend(2)
    scene.hide(4, "EvenLater")
    (result,) = await scene.lot.retry([scene.place])
    assert (result.applied, result.version, result.left) == (2, 3, len(scene.victim) - 3)
    assert result.error is not None
    assert "EvenLater" in result.error
    followers = [(event.sequence, "follows a parked event") for event in scene.victim[4:]]
    assert scene.parked() == [(4, result.error), *followers]
    assert scene.row() == scene.row_after(3)
    # Nothing changed since: the same again, and the same said.
    assert await scene.lot.retry([scene.place]) == [Retried(*scene.place, 0, 3, result.left, result.error)]


async def test_a_row_that_the_database_refused_is_written_once_it_takes_it(scene: Scene) -> None:
    refuse = "ALTER TABLE buyer_orders ADD CONSTRAINT {} CHECK (id <> '" + str(scene.victim[0].subject) + "')"
    rows(scene.database_url, refuse.format("first_rule"))
    await deliver(scene.pool, ORDERS)
    assert "first_rule" in scene.parked()[0][1]
    rows(scene.database_url, refuse.format("second_rule") + ", DROP CONSTRAINT first_rule")
    (result,) = await scene.lot.retry([scene.place])
    assert (result.applied, result.left) == (0, len(scene.victim))
    assert "second_rule" in (result.error or "")
    assert scene.parked()[0] == (1, result.error)
    rows(scene.database_url, "ALTER TABLE buyer_orders DROP CONSTRAINT second_rule")
    last = len(scene.victim)
    assert await scene.lot.retry([scene.place]) == [Retried(*scene.place, applied=last, version=last)]
    assert scene.all_is_well()


async def test_a_projection_that_fails_is_tried_as_it_is_now(scene: Scene) -> None:
    def project(event: PublishedEvent) -> Columns:
        if event.subject == scene.victim[0].subject and event.sequence == 3:
            raise LookupError("what is this")
        return ORDERS.project(event)

    broken = Projection(ORDERS.model, ORDERS.topic, ORDERS.columns, project)
    await deliver(scene.pool, broken)
    (result,) = await ParkedEvents(scene.pool, EventLog(scene.pool), {ORDERS.model: broken}).retry([scene.place])
    assert (result.applied, result.version, result.error) == (0, 2, "LookupError: what is this")
    (result,) = await scene.lot.retry([scene.place])
    assert result.error is None
    assert scene.all_is_well()


@pytest.fixture
def hot(database_url: str) -> UUID:
    """A listing with more than a hundred events."""
    story = Story(3, listings=1, prices=(2500,))
    while story.tickets[0].version < 120:
        story.buyer_orders()
        story.buyer_cancels()
    append(database_url, story.events)
    return story.tickets[0].id


@pytest.mark.parametrize("chunk", [1, 7, 1_000])
@pytest.mark.parametrize("poison", [3, 57, 120])
async def test_a_long_run_is_applied_up_to_the_event_before_the_poison(
    chunk: int, poison: int, hot: UUID, pool: AsyncConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HISTORY_CHUNK", chunk)
    database_url = pool.conninfo
    assert isinstance(database_url, str)
    hide(database_url, hot, 2)
    await deliver(pool, TICKETS)
    mend(database_url, hot, 2)
    hide(database_url, hot, poison)
    log = EventLog(pool)
    (result,) = await ParkedEvents(pool, log).retry([(TICKETS.model, hot)])
    assert (result.version, result.applied) == (poison - 1, poison - 2)
    assert str(rows(database_url, "SELECT error FROM parked_events ORDER BY sequence")[0][0]) == result.error
    mend(database_url, hot, poison)
    (result,) = await ParkedEvents(pool, log).retry([(TICKETS.model, hot)])
    assert result.error is None
    assert stored_rows(database_url, TICKETS) == expected_rows(TICKETS, await log.after(0, limit=10_000))


# What is none of ours -------------------------------------------------------------------------------------------------


async def test_what_the_log_does_not_have_stays_until_it_is_dropped(scene: Scene) -> None:
    """A message under no id, one of an aggregate nobody knows, one on the wrong topic, one of a log that was longer."""
    user, stranger = next(event for event in scene.events if event.topic == USER_STATUS.topic), uuid4()
    topic = Topic(ORDERS.topic).send(scene.events)
    for key in (b"no id", str(stranger).encode()):
        topic.put(b"{", key)
    topic.put(Topic(user.topic).send([user]).messages[0].value, str(user.subject).encode())
    await deliver(scene.pool, ORDERS, topic.deliveries())
    longer = Parked(0, 1, scene.victim[0].subject, 99, 10**9, b"", "e")
    await Writer(scene.pool, ORDERS).write([], [longer], {})
    places: list[Place] = [(stuck.model, stuck.aggregate_id) for stuck in await scene.lot.stuck()]
    results = await scene.lot.retry(places)
    assert {result.aggregate_id: (result.left, result.error) for result in results} == {
        None: (1, "its key is no id"),
        stranger: (1, "the log has no event of it"),
        user.subject: (1, f"UserCreated does not belong to {ORDERS.topic}"),
        scene.victim[0].subject: (1, f"the log ends at event {len(scene.victim)} of it"),
    }
    assert [await scene.lot.drop(place) for place in places] == [
        Dropped(1, len(scene.victim) if place == scene.place else 0, behind=False) for place in places
    ]
    assert scene.parked() == []
    assert scene.all_is_well()


async def test_a_read_model_that_is_no_more_is_told(scene: Scene) -> None:
    gone = Projection("no_more", ORDERS.topic, ORDERS.columns, ORDERS.project)
    park = [Parked(0, 1, scene.victim[0].subject, 1, 1, b"", "e")]
    await Writer(scene.pool, gone).write([], park, {})
    place = ("no_more", scene.victim[0].subject)
    assert await scene.lot.retry([place]) == [Retried(*place, left=1, error="this version has no such read model")]
    assert (await count_parked(scene.pool))["no_more"] == 1
    assert (await scene.lot.drop(place)).events == 1


async def test_a_strangers_message_under_our_key_is_forgotten_when_the_log_is_applied(scene: Scene) -> None:
    topic = Topic(ORDERS.topic).send(scene.victim[:1])
    topic.put(b'{"sequence": "x"}', str(scene.victim[0].subject).encode())
    topic.send(scene.victim[1:])
    await deliver(scene.pool, ORDERS, topic.deliveries())
    last = len(scene.victim)
    assert len(scene.parked()) == last
    assert await scene.lot.retry([scene.place]) == [Retried(*scene.place, applied=last, version=last)]
    assert scene.parked() == []
    assert scene.row() == scene.row_after(last)


async def test_dropping_skips_nothing(scene: Scene) -> None:
    """The row is as it was; what comes next finds the gap: still poison, it is parked again."""
    await scene.poisoned()
    last = len(scene.victim)
    assert await scene.lot.drop(scene.place) == Dropped(last - 1, 1, behind=True)
    assert scene.parked() == []
    assert scene.row() == scene.row_after(1)
    newest = [one for one in await deliveries(scene.pool, ORDERS) if one.aggregate_id == scene.place[1]][-1]
    await deliver(scene.pool, ORDERS, [newest])
    assert [sequence for sequence, _ in scene.parked()] == [last]
    await scene.lot.drop(scene.place)
    scene.mend(2)
    await deliver(scene.pool, ORDERS, [newest])
    assert scene.parked() == []
    assert await scene.lot.drop(scene.place) == Dropped(0, last, behind=False)
    assert scene.row() == scene.row_after(last)


async def test_what_is_parked_is_told(scene: Scene) -> None:
    await scene.poisoned()
    count = len(scene.victim) - 1
    assert await count_parked(scene.pool) == {"ticket_listing": 0, "buyer_orders": count, "user_status": 0}
    (stuck,) = await scene.lot.stuck()
    assert (stuck.model, stuck.aggregate_id, stuck.events, stuck.first_sequence) == (*scene.place, count, 2)
    assert stuck.error.startswith("cannot be read")
    assert await scene.lot.stuck("user_status") == []
    first, second = await scene.lot.events(scene.place, limit=2)
    assert (first.sequence, first.position, second.sequence) == (2, scene.victim[1].position, 3)
    assert str(scene.victim[0].subject).encode() in first.raw


# Beside others --------------------------------------------------------------------------------------------------------


async def test_a_worker_that_looked_before_does_not_leave_the_aggregate_stuck(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw the aggregate parked, is held before its commit, and parks the next event after it was freed."""
    monkeypatch.setattr(module, "SETTLE_SECONDS", 1.5)
    scene.hide(2)
    messages = await deliveries(scene.pool, ORDERS)
    newest = [one for one in messages if one.aggregate_id == scene.place[1]][-1]
    await deliver(scene.pool, ORDERS, messages[: messages.index(newest)])
    scene.mend(2)
    with psycopg.connect(scene.database_url) as keeper:
        keeper.execute("LOCK TABLE checkpoints IN EXCLUSIVE MODE")  # what a worker writes last, and no retry does
        worker = asyncio.ensure_future(deliver(scene.pool, ORDERS, [newest]))
        await eventually(lambda: rows(scene.database_url, "SELECT 1 FROM pg_locks WHERE NOT granted"), "it waits")
        trying = asyncio.ensure_future(scene.lot.retry([scene.place]))
        last = len(scene.victim)
        await eventually(lambda: scene.row() == scene.row_after(last), "the row is written")
        keeper.rollback()
        await worker
    assert [sequence for sequence, _ in scene.parked()] == [last], "this is what has to be mended"
    assert await trying == [Retried(*scene.place, applied=last - 1, version=last)]
    assert scene.parked() == []


@pytest.mark.parametrize("seed", range(4))
async def test_beside_a_busy_worker_no_event_is_lost(seed: int, scene: Scene) -> None:
    """Tries without pause, half of them in vain, while a worker gets small batches, some messages of them again."""
    random = Random(seed)
    poisoned = [run[0].subject for run in runs(scene.events, ORDERS).values() if len(run) >= 3]
    for order_id in poisoned:
        hide(scene.database_url, order_id, 2)
    messages = await deliveries(scene.pool, ORDERS)
    half = len(messages) // 2
    await deliver(scene.pool, ORDERS, messages[:half])
    for order_id in poisoned[::2]:
        mend(scene.database_url, order_id, 2)

    async def work() -> None:
        at = half
        while at < len(messages):
            again = random.randrange(at + 1)
            size = random.randrange(1, 4)
            await Projector(ORDERS, scene.pool).handle(messages[at : at + size] + messages[again : again + 3])
            at += size
            await asyncio.sleep(0.005)

    worker = asyncio.ensure_future(work())
    tries = 0
    while not worker.done():
        if stuck := await scene.lot.stuck():
            one = random.choice(stuck)
            await scene.lot.retry([(one.model, one.aggregate_id)])
            tries += 1
    await worker
    assert tries > 2
    versions = {key: version for key, (version, _) in stored_rows(scene.database_url, ORDERS).items()}
    kept = set(rows(scene.database_url, "SELECT aggregate_id, sequence FROM parked_events"))
    behind = [
        event for event in scene.events if event.topic == ORDERS.topic and event.sequence > versions[event.subject]
    ]
    assert {(event.subject, event.sequence) for event in behind} <= kept
    assert {event.subject for event in behind} >= set(poisoned[1::2])
    for order_id in poisoned[1::2]:
        mend(scene.database_url, order_id, 2)
    await scene.retry_all()
    assert scene.parked() == []
    assert scene.all_is_well()


async def test_several_tries_at_once_are_one(scene: Scene) -> None:
    await scene.poisoned()
    scene.mend(2)
    results = [result for (result,) in await asyncio.gather(*(scene.lot.retry([scene.place]) for _ in range(4)))]
    assert {result.error for result in results} == {None}
    assert sum(result.applied for result in results) == len(scene.victim) - 1
    assert scene.all_is_well()


async def test_a_rebuild_at_the_same_time_is_not_in_the_way(scene: Scene) -> None:
    await deliver(scene.pool, ORDERS)
    old = [Parked(None, None, event.subject, event.sequence, event.position, b"", "e") for event in scene.victim[1:]]
    done = asyncio.Event()

    async def retry() -> None:
        while not done.is_set():
            async with scene.pool.connection() as connection:
                await connection.execute("UPDATE buyer_orders SET version = 1 WHERE id = %s", (scene.place[1],))
            await Writer(scene.pool, ORDERS).write([], old, {})
            assert (await scene.lot.retry([scene.place]))[0].error is None

    trying = asyncio.ensure_future(retry())
    for _ in range(6):
        await rebuild(scene.pool, EventLog(scene.pool), [ORDERS])
    done.set()
    await trying
    assert scene.parked() == []
    assert scene.all_is_well()

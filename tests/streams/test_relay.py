"""The relay as a process: nothing lost, per-key order kept, one at a time, over every fault."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import psycopg
import pytest

from streams import wire
from streams.leadership import RELAY_LOCK
from tests.projections.stories import Story, append
from tests.streams.conftest import Builtin, Log
from tests.streams.parts import Part, assert_all_is_on, eventually, everything_on, is_published, log_end, rows, wipe

StartPart = Callable[[str, str], Part]


def tell(database_url: str, story: Story, steps: int) -> None:
    """More of the story, into the store's log."""
    told = len(story.events)
    append(database_url, story.tell(steps).events[told:])


@pytest.fixture
def story(database_url: str) -> Story:
    """A story of which a good part has happened."""
    begun = Story(21, listings=6)
    append(database_url, begun.tell(600).events)
    return begun


async def published(database_url: str) -> None:
    await eventually(lambda: is_published(database_url), "the relay is at the log's end")


async def test_the_log_is_published_in_order_and_once(
    story: Story, database_url: str, kafka: str, part: StartPart, log: Log
) -> None:
    relay = part("relay", kafka)
    await published(database_url)
    tell(database_url, story, 50)
    await published(database_url)
    await assert_all_is_on(kafka, await log.read())
    assert relay.stop() == 0


async def test_each_record_says_where_it_stands(story: Story, database_url: str, kafka: str, part: StartPart) -> None:
    part("relay", kafka)
    await published(database_url)
    tell(database_url, story, 50)
    await published(database_url)
    for records in (await everything_on(kafka)).values():
        before = 0
        for record in records:
            assert dict(record.headers)["content-type"].startswith(b"application/cloudevents+json")
            place = wire.places(record.headers)
            assert place is not None
            assert place[1] == before < place[0]
            before = place[0]


async def test_sigkill_in_the_middle_loses_nothing_and_keeps_the_order(
    story: Story, database_url: str, kafka: str, part: StartPart, log: Log
) -> None:
    relay = part("relay", kafka)
    for _ in range(4):
        before = rows(database_url, "SELECT position FROM relay_state")[0][0]
        for _ in range(5):
            tell(database_url, story, 40)
        await eventually(lambda: rows(database_url, "SELECT position FROM relay_state")[0][0] > before, "it moves")  # noqa: B023
        relay.kill()
        relay = part("relay", kafka)
    await published(database_url)
    await assert_all_is_on(kafka, await log.read(), repeated=True)


async def test_what_was_sent_and_not_noted_is_sent_again_behind_what_there_is(
    story: Story, database_url: str, kafka: str, part: StartPart, log: Log
) -> None:
    """A relay killed between sending and writing its position down: here the position is set back by hand."""
    relay = part("relay", kafka)
    await published(database_url)
    relay.kill()
    rows(database_url, "UPDATE relay_state SET position = position / 2")
    rows(
        database_url,
        "UPDATE relay_state SET partitions = (SELECT jsonb_object_agg(topic, (SELECT jsonb_agg(jsonb_build_array("
        " (state->>0)::int / 2, (state->>1)::int / 2)) FROM jsonb_array_elements(states) AS state))"
        " FROM jsonb_each(partitions) AS p (topic, states))",
    )
    part("relay", kafka)
    await published(database_url)
    assert await assert_all_is_on(kafka, await log.read(), repeated=True) > 0


@pytest.mark.long
async def test_of_two_relays_one_publishes_and_the_other_takes_over(
    story: Story, database_url: str, apache: str, part: StartPart, log: Log
) -> None:
    relays = [part("relay", apache), part("relay-2", apache)]
    await published(database_url)
    await asyncio.sleep(1.5)
    leaders = [relay for relay in relays if relay.said("publishes now")]
    assert len(leaders) == 1
    leaders[0].kill()
    tell(database_url, story, 50)
    await eventually(lambda: is_published(database_url), "the other one took over", 5.0)
    # Not a record twice: the first had noted all it sent.
    await assert_all_is_on(apache, await log.read())


@pytest.mark.long
async def test_a_paused_relay_loses_its_place_and_does_no_harm_when_it_wakes(
    story: Story, database_url: str, apache: str, part: StartPart, log: Log
) -> None:
    first = part("relay", apache)
    await published(database_url)
    second = part("relay-2", apache)
    await asyncio.sleep(2)
    first.send(signal.SIGSTOP)
    tell(database_url, story, 50)
    await eventually(lambda: is_published(database_url), "the stand-by took over", 8.0)
    assert second.said("publishes now")
    first.send(signal.SIGCONT)
    tell(database_url, story, 50)
    await published(database_url)
    await asyncio.sleep(1)
    await assert_all_is_on(apache, await log.read(), repeated=True)


@pytest.mark.long
async def test_wiped_topics_are_filled_again_from_the_store(
    story: Story, database_url: str, apache: str, part: StartPart, log: Log
) -> None:
    relay = part("relay", apache)
    await published(database_url)
    wipe(apache)
    tell(database_url, story, 30)

    async def is_back() -> bool:
        return is_published(database_url) and relay.said("publishing again from the store")

    await eventually(is_back, "it noticed, by itself")
    await assert_all_is_on(apache, await log.read())
    assert relay.log.read_text().count("publishing again from the store") == 1


async def test_another_broker_in_its_place_gets_it_all(
    story: Story, database_url: str, make_builtin: Callable[[], Builtin], part: StartPart, log: Log
) -> None:
    first = make_builtin()
    relay = part("relay", await first.address())
    await published(database_url)
    relay.stop()
    first.part.kill()
    address = await make_builtin().address()
    relay = part("relay", address)
    await eventually(lambda: relay.said("it is another cluster"), "it noticed")
    await published(database_url)
    await assert_all_is_on(address, await log.read())


@pytest.mark.long
async def test_kafka_that_does_not_answer_for_a_while(
    story: Story, database_url: str, make_builtin: Callable[[], Builtin], part: StartPart, log: Log
) -> None:
    builtin = make_builtin()
    address = await builtin.address()
    relay = part("relay", address)
    await published(database_url)
    builtin.part.send(signal.SIGSTOP)
    tell(database_url, story, 50)
    await eventually(lambda: relay.said("Kafka is away"), "it noticed")
    assert not is_published(database_url)
    builtin.part.send(signal.SIGCONT)
    await published(database_url)
    await assert_all_is_on(address, await log.read(), repeated=True)


async def test_no_kafka_at_the_start_is_waited_for(
    story: Story, database_url: str, make_builtin: Callable[[], Builtin], part: StartPart, log: Log
) -> None:
    builtin = make_builtin()
    address = await builtin.address()
    builtin.part.send(signal.SIGSTOP)
    relay = part("relay", address)
    await asyncio.sleep(3)
    builtin.part.send(signal.SIGCONT)
    await published(database_url)
    await assert_all_is_on(address, await log.read())
    assert relay.stop() == 0


@pytest.mark.long
async def test_terminated_backends_are_no_end(
    story: Story, database_url: str, apache: str, part: StartPart, log: Log
) -> None:
    relay = part("relay", apache)
    await published(database_url)
    for _ in range(3):
        rows(
            database_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        tell(database_url, story, 30)
        await eventually(lambda: is_published(database_url), "it goes on", 10.0)
    assert relay.said("the database is away or the lock was lost")
    await assert_all_is_on(apache, await log.read(), repeated=True)


@pytest.mark.long
async def test_a_store_that_is_older_than_kafka_is_said_and_nothing_is_published(
    story: Story, database_url: str, apache: str, part: StartPart
) -> None:
    """The store was restored to an earlier moment, and with it the relay's own notes; Kafka has what came later."""
    relay = part("relay", apache)
    await published(database_url)
    earlier = rows(database_url, "SELECT position, partitions::text FROM relay_state")[0]
    tell(database_url, story, 100)
    await published(database_url)
    relay.stop()
    count = sum(map(len, (await everything_on(apache)).values()))
    rows(database_url, "DELETE FROM stored_events WHERE notification_id > %s", earlier[0])
    rows(database_url, "UPDATE relay_state SET position = %s, partitions = %s::jsonb", *earlier)
    # Life went on after the restore: the positions are given out once more, for other events.
    rows(database_url, "SELECT setval('stored_events_notification_id_seq', %s)", earlier[0])
    append(database_url, Story(99).tell(300).events)

    relay = part("relay", apache)
    await eventually(lambda: relay.said("nothing is published"), "it says so")
    assert '"level":"error"' in relay.log.read_text()
    trouble = rows(database_url, "SELECT trouble FROM relay_state")[0][0]
    assert "which is not in the log" in trouble
    assert sum(map(len, (await everything_on(apache)).values())) == count


@pytest.mark.long
async def test_a_log_that_ends_before_what_was_published_is_said(
    story: Story, database_url: str, apache: str, part: StartPart
) -> None:
    relay = part("relay", apache)
    await published(database_url)
    end = log_end(database_url)
    rows(database_url, "DELETE FROM stored_events WHERE notification_id > %s", end - 20)
    await eventually(lambda: relay.said("but was published up to"), "it says so")
    assert rows(database_url, "SELECT trouble IS NOT NULL FROM relay_state") == [(True,)]


@pytest.mark.long
async def test_an_event_that_cannot_be_read_takes_its_place_and_hides_no_other(
    story: Story, database_url: str, apache: str, part: StartPart
) -> None:
    end = log_end(database_url)
    victim = story.orders[0].id
    rows(
        database_url,
        "INSERT INTO stored_events VALUES (%s, %s, 'stagedoor.Order.FromTheFuture', '{}')",
        victim, story.orders[0].version + 1,
    )  # fmt: skip
    append(database_url, Story(98).tell(50).events)
    relay = part("relay", apache)
    await published(database_url)
    records = [record for those in (await everything_on(apache)).values() for record in those]
    assert len(records) == rows(database_url, "SELECT count(*) FROM stored_events")[0][0]
    unreadable = [record for record in records if b'"type":"Unreadable"' in record.value]
    assert [record.key for record in unreadable] == [str(victim).encode()]
    assert unreadable[0].topic == "stagedoor.orders"
    place = wire.places(unreadable[0].headers)
    assert place is not None
    assert place[0] > end
    assert relay.stop() == 0


@pytest.mark.long
async def test_standing_idle_costs_little_and_news_come_at_once(
    story: Story, database_url: str, apache: str, part: StartPart
) -> None:
    relay = part("relay", apache)
    await published(database_url)
    await asyncio.sleep(1)
    assert relay.process is not None
    before = cpu_seconds(relay.process.pid)
    await asyncio.sleep(4)
    assert cpu_seconds(relay.process.pid) - before < 0.5
    waits = []
    for _ in range(20):
        tell(database_url, story, 3)
        began = asyncio.get_running_loop().time()
        while not is_published(database_url):  # noqa: ASYNC110 - it is the database that is asked
            await asyncio.sleep(0.002)
        waits.append(asyncio.get_running_loop().time() - began)
        await asyncio.sleep(0.1)
    assert sorted(waits)[10] < 0.5, "a notification wakes it, not the next look"


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.long
async def test_the_lock_is_one_for_all(database_url: str, apache: str, part: StartPart) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (RELAY_LOCK,))
        relay = part("relay", apache)
        append(database_url, Story(5).events)
        await asyncio.sleep(3)
        assert not is_published(database_url)
        assert not relay.said("publishes now")
    await eventually(lambda: is_published(database_url), "it takes over", 5.0)

"""`stagedoor repair`: what it finds and does in the database, and with relay, worker and Apache Kafka beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from adapters.database import make_pool
from adapters.event_log import EventLog
from domain.published import PublishedEvent
from streams.leadership import RELAY_LOCK
from streams.topics import TOPICS
from tests.backup.conftest import Stagedoor, sell
from tests.streams.conftest import Builtin
from tests.streams.parts import Part, assert_all_is_on, eventually, is_projected, is_published, log_end, rows


def set_back(database_url: str, position: int) -> None:
    """As if only the log were restored: everything else stays ahead of it."""
    rows(database_url, "DELETE FROM stored_events WHERE notification_id > %s", position)


@pytest.fixture
def ahead(sold: str, stagedoor: Stagedoor) -> int:
    """Read models, checkpoints, a snapshot and the relay are ahead of the log; the highest position they know of."""
    end = log_end(sold)
    sell(sold, 4)
    assert stagedoor("replay").code == 0
    last = log_end(sold)
    rows(sold, "UPDATE relay_state SET position = %s", last)
    rows(sold, "INSERT INTO stored_snapshots SELECT originator_id, originator_version, topic, state FROM stored_events"
               " WHERE notification_id = %s", last)  # fmt: skip
    rows(sold, "INSERT INTO parked_events (model, topic, aggregate_id, position, raw, error)"
               " VALUES ('buyer_orders', 'stagedoor.orders', gen_random_uuid(), %s, '', 'e')", last + 3)  # fmt: skip
    set_back(sold, end)
    rows(sold, "SELECT setval('stored_events_notification_id_seq', %s)", end)
    return last + 3


def test_nothing_to_repair(sold: str, stagedoor: Stagedoor) -> None:
    assert stagedoor("replay").code == 0
    for options in ([], ["--yes"]):
        said = stagedoor("repair", *options)
        assert said.code == 0, said
        assert "Nothing is to be repaired." in said.out


def test_what_is_ahead_of_the_log_is_found_and_taken_back(sold: str, ahead: int, stagedoor: Stagedoor) -> None:
    before = rows(sold, "SELECT position FROM checkpoints ORDER BY 1")
    said = stagedoor("repair")
    assert said.code == 1, said
    for found in (
        f"ends at position {log_end(sold)}, but was published up to {ahead - 3}",
        "1 rows of ticket_listing",
        "4 rows of buyer_orders",
        "3 checkpoints",
        "1 parked events",
        "1 snapshots",
        f"new events begin behind position {ahead}",
    ):
        assert found in said.out
    assert rows(sold, "SELECT position FROM checkpoints ORDER BY 1") == before, "without --yes nothing is done"
    assert "differences" in stagedoor("verify").out

    end = log_end(sold)
    done = stagedoor("repair", "--yes")
    assert done.code == 0, done
    assert stagedoor("repair").code == 0
    sell(sold, 1)
    newest = "SELECT min(notification_id) FROM stored_events WHERE notification_id > %s"
    assert rows(sold, newest, end) == [(ahead + 1,)]
    assert stagedoor("replay").code == 0
    verified = stagedoor("verify")
    assert verified.code == 0, verified


def test_beside_a_relay_it_looks_and_does_nothing(sold: str, ahead: int, stagedoor: Stagedoor) -> None:
    with psycopg.connect(sold, autocommit=True) as relay:
        relay.execute("SELECT pg_advisory_lock(%s)", (RELAY_LOCK,))
        assert stagedoor("repair").code == 1
        said = stagedoor("repair", "--yes")
        assert said.code == 2
        assert f"a relay is at work (server process {relay.info.backend_pid})" in said.err
    assert stagedoor("repair").code == 1


def test_without_a_way_to_kafka_it_says_so(sold: str, stagedoor: Stagedoor) -> None:
    rows(sold, "UPDATE relay_state SET cluster = 'kX3k2v9XSEqGNt6yWjrhEg'")
    said = stagedoor("repair")
    assert (said.code, "KAFKA_BOOTSTRAP_SERVERS is not set" in said.err) == (2, True), said


def test_an_older_schema_is_to_be_migrated_first(sold: str, stagedoor: Stagedoor) -> None:
    rows(sold, "DELETE FROM migrations WHERE name LIKE 'projections%%'")
    said = stagedoor("repair")
    assert (said.code, "run `stagedoor migrate` first" in said.err) == (2, True), said


def test_the_built_in_broker_forgets_by_itself(
    sold: str,
    stagedoor: Stagedoor,
    make_builtin: Callable[[], Builtin],
    part: Callable[[str, str], Part],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = make_builtin()
    address = asyncio.run(broker.address())
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
    relay = part("relay", address)
    wait(lambda: is_published(sold), "all is on Kafka")
    end, earlier = log_end(sold), rows(sold, "SELECT position, partitions::text FROM relay_state")[0]
    sell(sold, 2)
    wait(lambda: is_published(sold), "all is on Kafka")
    assert stagedoor("repair", "--yes").code == 2, "a relay is at work"
    relay.stop()
    set_back(sold, end)
    rows(sold, "UPDATE relay_state SET position = %s, partitions = %s::jsonb", *earlier)
    with psycopg.connect(sold, application_name="a worker"):
        said = stagedoor("repair", "--yes")
        assert (said.code, "is in use by a worker" in said.err) == (2, True), said
    repaired = stagedoor("repair", "--yes")
    assert repaired.code == 0, repaired
    assert "Restart the built-in broker" in repaired.out

    broker.part.kill()
    address = asyncio.run(make_builtin().address())
    part("relay", address)
    wait(lambda: is_published(sold), "the log is on the new one")
    asyncio.run(assert_all_is_on(address, asyncio.run(read_log(sold))))
    verified = stagedoor("verify")
    assert verified.code == 0, verified


# With Apache Kafka ---------------------------------------------------------------------------------------------------

PARTITIONS, RETENTION_MS = 3, "259200000"


def make_topics(address: str) -> None:
    """Made by the person who runs it, in a way of their own."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    topics = [NewTopic(topic, PARTITIONS, 1, config={"retention.ms": RETENTION_MS}) for topic in TOPICS]
    for made in admin.create_topics(topics).values():
        made.result(20)


def topics_are_as_made(address: str) -> bool:
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    found = admin.list_topics(timeout=10).topics
    resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in TOPICS]
    settings = [answer.result(10)["retention.ms"].value for answer in admin.describe_configs(resources).values()]
    return all(len(found[topic].partitions) == PARTITIONS for topic in TOPICS) and set(settings) == {RETENTION_MS}


def has_members(address: str) -> bool:
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    return bool(admin.describe_consumer_groups(["stagedoor"])["stagedoor"].result(10).members)


async def read_log(database_url: str) -> list[PublishedEvent]:
    async with make_pool(database_url, max_size=1) as pool:
        return await EventLog(pool).after(0, limit=100_000)


def wait(check: Callable[[], object], what: str) -> None:
    asyncio.run(eventually(check, what))


@pytest.mark.long
def test_after_an_older_backup_the_relay_stands_still_until_the_repair(  # noqa: PLR0917 - fixtures
    sold: str,
    stagedoor: Stagedoor,
    apache: str,
    part: Callable[[str, str], Part],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", apache)
    make_topics(apache)
    relay, worker = part("relay", apache), part("worker", apache)
    wait(lambda: is_published(sold) and is_projected(sold), "all is well")
    assert stagedoor("backup", tmp_path / "backup").code == 0
    sell(sold, 5)
    wait(lambda: is_published(sold) and is_projected(sold), "all is well")
    seen = log_end(sold)
    assert stagedoor("restore", tmp_path / "backup", "--yes").code == 2, "they are connected"
    relay.stop()
    worker.stop()

    assert stagedoor("restore", tmp_path / "backup", "--yes").code == 0
    relay = part("relay", apache)
    wait(lambda: relay.said("nothing is published"), "the relay says what is wrong")
    assert "publishes nothing" in stagedoor("verify").out
    found = stagedoor("repair")
    assert found.code == 1
    assert "Kafka tells what did not happen" in found.out
    assert f"the last event it has is of position {seen}" in found.out
    assert stagedoor("repair", "--yes").code == 2, "a relay holds the lock"
    relay.stop()
    worker = part("worker", apache)
    wait(lambda: has_members(apache), "the worker is at work")
    monkeypatch.setattr("streams.repair.MEMBERS_LEAVE_SECONDS", 3.0)
    refused = stagedoor("repair", "--yes")
    assert (refused.code, "a worker is at work" in refused.err) == (2, True), refused
    worker.stop()

    done = stagedoor("repair", "--yes")
    assert done.code == 0, done
    assert topics_are_as_made(apache)
    sell(sold, 2)
    assert rows(sold, "SELECT count(*) FROM stored_events WHERE notification_id > %s", seen)[0][0] > 0
    relay, worker = part("relay", apache), part("worker", apache)
    wait(lambda: is_published(sold) and is_projected(sold), "all is well again")
    asyncio.run(assert_all_is_on(apache, asyncio.run(read_log(sold))))
    verified = stagedoor("verify")
    assert verified.code == 0, verified
    assert stagedoor("repair").code == 0

"""Whether Kafka still has what was published to it, and nothing that the store does not know.

Kafka that has less was wiped or replaced: harmless, the store publishes again. Kafka that has more than the store's log
means that the store was restored to an earlier moment: others have seen events that never happened, and publishing on
would tell two stories under one sequence. That is for a person to decide.
"""

from __future__ import annotations

from typing import Any

from aiokafka import ConsumerRecord
from psycopg import AsyncConnection

from adapters.cloudevents import UnreadableEvent, decode
from streams import wire
from streams.publisher import Publisher, Wiped
from streams.relay_state import RelayState


class StoreBehindKafka(Exception):
    """The store's log does not have what was published from it. The text is for the person who has to act."""


async def check_kafka(publisher: Publisher, state: RelayState, connection: AsyncConnection[Any]) -> None:
    """Compares what Kafka has with what was published, and that with the log.

    Raises:
        Wiped: Kafka has less.
        StoreBehindKafka: the log has less.
        KafkaError, psycopg.OperationalError: one of them is out of reach.
    """
    if state.cluster not in (None, publisher.cluster.id):
        raise Wiped(f"it is another cluster, {publisher.cluster.id} instead of {state.cluster}")
    ends = await publisher.ends()
    for partition, left in state.partitions.items():
        if ends.get(partition, 0) < left.end:
            raise Wiped(f"{partition[0]}/{partition[1]} ends at {ends.get(partition, 0)} and was at {left.end}")
    await check_log(state, connection)
    # Beyond what is written down lies what a relay sent before it was killed, and it must be in the log.
    unnoted = [partition for partition, end in ends.items() if end > state.of(partition).end]
    for record in await publisher.last_records(unnoted, ends):
        await _check_record(record, connection)


async def check_log(state: RelayState, connection: AsyncConnection[Any]) -> None:
    """Raises `StoreBehindKafka` if the log ends before what was published."""
    cursor = await connection.execute("SELECT COALESCE(max(notification_id), 0) FROM stored_events")
    row = await cursor.fetchone()
    assert row is not None
    if row[0] < state.position:
        raise StoreBehindKafka(f"the log ends at position {row[0]}, but was published up to {state.position}")


async def _check_record(record: ConsumerRecord, connection: AsyncConnection[Any]) -> None:
    place = wire.places(record.headers)
    assert place is not None
    cursor = await connection.execute(
        "SELECT originator_id, originator_version FROM stored_events WHERE notification_id = %s", (place[0],)
    )
    stored = await cursor.fetchone()
    try:
        event = decode(record.value)
    except UnreadableEvent:
        return  # of a later version of this program; that it stands in the log under its position is all to be said
    if stored != (event.subject, event.sequence):
        raise StoreBehindKafka(
            f"{record.topic}/{record.partition} has {event.type} {event.subject}/{event.sequence} of position"
            f" {place[0]}, which is not in the log"
        )

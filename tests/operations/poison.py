"""A marketplace with poison in its log: stored events under a name that only a later version of the program knows."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool

from domain.published import PublishedEvent
from projections.projection import Projection
from streams.delivery import Delivery
from streams.log_reader import LogReader
from streams.project import Projector
from tests.streams.messages import Topic

UNKNOWN = "FromTheFuture"


def hide(database_url: str, aggregate_id: UUID, version: int, name: str = UNKNOWN) -> None:
    """Makes one stored event unreadable for this version of the program."""
    changed = _rename(database_url, aggregate_id, version, f"regexp_replace(topic, '[^.]*$', '{name}.' || topic)")
    assert changed == 1


def mend(database_url: str, aggregate_id: UUID, version: int) -> None:
    """The later version runs: the event can be read."""
    changed = _rename(database_url, aggregate_id, version, "regexp_replace(topic, '^.*[.](stagedoor[.])', '\\1')")
    assert changed == 1


def _rename(database_url: str, aggregate_id: UUID, version: int, expression: str) -> int:
    query = f"UPDATE stored_events SET topic = {expression} WHERE originator_id = %s AND originator_version = %s"
    with psycopg.connect(database_url, autocommit=True) as connection:
        return connection.execute(query.encode(), (aggregate_id, version)).rowcount


async def deliveries(pool: AsyncConnectionPool, projection: Projection) -> list[Delivery]:
    """The log as the relay sends it to one topic now, as the worker gets it."""
    return Topic(projection.topic).send(await LogReader(pool).after(0, limit=100_000)).deliveries()


async def deliver(
    pool: AsyncConnectionPool, projection: Projection, messages: Iterable[Delivery] | None = None
) -> None:
    """A worker applies, or parks, the messages; without any, the whole log."""
    await Projector(projection, pool).apply(list(messages or await deliveries(pool, projection)))


def runs(events: Iterable[PublishedEvent], projection: Projection) -> dict[UUID, list[PublishedEvent]]:
    """The events of one topic by aggregate."""
    found: dict[UUID, list[PublishedEvent]] = {}
    for event in events:
        if event.topic == projection.topic:
            found.setdefault(event.subject, []).append(event)
    return found

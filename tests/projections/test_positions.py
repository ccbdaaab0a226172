"""How far read models are, told from the relay's and their own notes."""

from __future__ import annotations

import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from domain.published import TICKETS
from projections.models import MODELS
from projections.positions import REBUILT, read_progress
from projections.ticket_listing import TICKET_LISTING
from projections.writer import Writer


def published(database_url: str, position: int, lasts: list[int], trouble: str | None = None) -> None:
    """The relay is at `position`, and has put these last events into the partitions of the tickets' topic."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE relay_state SET position = %s, partitions = %s, trouble = %s",
            (position, Jsonb({TICKETS: [(last + 1, last) for last in lasts]}), trouble),
        )


async def tickets_at(pool: AsyncConnectionPool) -> int:
    return (await read_progress(pool)).model("ticket_listing").position


async def test_nothing_yet(pool: AsyncConnectionPool) -> None:
    progress = await read_progress(pool)
    assert progress.relay.position == 0
    assert [progress.model(model).position for model in MODELS] == [0, 0, 0]


async def test_a_partition_without_news_is_not_behind(pool: AsyncConnectionPool, database_url: str) -> None:
    await Writer(pool, TICKET_LISTING).write([], [], {0: 10, 1: 70})
    published(database_url, 100, [10, 70, 0])
    assert await tickets_at(pool) == 100


async def test_a_model_is_as_far_as_its_last_partition(pool: AsyncConnectionPool, database_url: str) -> None:
    await Writer(pool, TICKET_LISTING).write([], [], {0: 10, 1: 70})
    published(database_url, 100, [40, 99, 0])
    assert await tickets_at(pool) == 10
    published(database_url, 100, [10, 70, 3])
    assert await tickets_at(pool) == 0


async def test_a_rebuilt_model_has_it_all(pool: AsyncConnectionPool, database_url: str) -> None:
    published(database_url, 100, [40, 99, 5])
    await Writer(pool, TICKET_LISTING).write([], [], {REBUILT: 100})
    assert await tickets_at(pool) == 100


async def test_publishing_again_takes_nothing_back(pool: AsyncConnectionPool, database_url: str) -> None:
    await Writer(pool, TICKET_LISTING).write([], [], {0: 90, 1: 95})
    published(database_url, 20, [18, 20])
    assert await tickets_at(pool) == 95


async def test_the_relays_trouble_is_told(pool: AsyncConnectionPool, database_url: str) -> None:
    published(database_url, 20, [], "the store is older than Kafka")
    assert (await read_progress(pool)).relay.trouble == "the store is older than Kafka"

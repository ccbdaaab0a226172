"""A marketplace for the commands of whoever runs it: a database with a story, and what relay and worker left there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from adapters.database import make_pool
from projections.models import MODELS
from tests.adapters.test_event_store import ask, open_house
from tests.operations.poison import deliver
from tests.streams.messages import PARTITIONS


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[AsyncConnectionPool]:
    async with make_pool(database_url, max_size=3) as opened:
        yield opened


@dataclass(frozen=True)
class Market:
    """A listing, and three orders of two events each that hold tickets."""

    database_url: str
    orders: tuple[UUID, ...]

    def sql(self, query: str, *parameters: Any) -> list[Any]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def end(self) -> int:
        return int(self.sql("SELECT max(notification_id) FROM stored_events")[0][0])

    def published(self) -> None:
        """The relay's note that it has published everything."""
        lasts = dict.fromkeys(((projection.topic, at) for projection in MODELS.values() for at in range(PARTITIONS)), 0)
        lasts |= {
            (topic, at): last for topic, at, last in self.sql("SELECT topic, partition, position FROM checkpoints")
        }
        partitions: dict[str, list[tuple[int, int]]] = {}
        for (topic, _), last in sorted(lasts.items()):
            partitions.setdefault(topic, []).append((last + 1, last))
        self.sql("UPDATE relay_state SET position = %s, partitions = %s", self.end(), Jsonb(partitions))


@pytest.fixture
async def market(database_url: str) -> Market:
    """Nothing of it is published or applied."""
    async with open_house(database_url) as house:
        ticket_id = await house.listed(quantity=9)
        orders = [(await house.order(ticket_id)).id for _ in range(3)]
        for order_id in orders:
            await house.marketplace.await_payment(order_id, f"pi_{order_id}", ask())
    return Market(database_url, tuple(orders))


@pytest.fixture
async def caught_up(market: Market, pool: AsyncConnectionPool) -> Market:
    """Everything is published and applied."""
    for projection in MODELS.values():
        await deliver(pool, projection)
    market.published()
    return market


@pytest.fixture
def run(database_url: str) -> Callable[..., Result]:
    """Calls a command on the test's database."""

    def call(command: Any, *arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(command, arguments, env={"DATABASE_URL": database_url} | environment)

    return call

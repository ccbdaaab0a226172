"""The deadline timer: through the read model to the command, whatever state the read model is in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.event_log import EventLog
from domain.order import Order
from projections.models import MODELS
from projections.queries import Queries
from projections.rebuild import rebuild
from streams import deadlines
from streams.deadlines import Deadlines
from tests.adapters.test_event_store import House, open_house
from tests.streams.parts import rows


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with open_house(database_url) as opened:
        yield opened


async def project(pool: AsyncConnectionPool) -> None:
    """The read models as they are after everything was applied."""
    await rebuild(pool, EventLog(pool), MODELS.values())


def ended(database_url: str) -> int:
    topic = "stagedoor.Order.Expired"
    count: int = rows(database_url, "SELECT count(*) FROM stored_events WHERE topic = %s", topic)[0][0]
    return count


async def due_orders(house: House, count: int) -> list[Order]:
    ticket_id = await house.listed(quantity=count, hold_seconds=1)
    orders = [await house.order(ticket_id) for _ in range(count)]
    await asyncio.sleep(1.1)
    return orders


async def test_what_is_due_is_ended_and_nothing_else(
    house: House, pool: AsyncConnectionPool, database_url: str
) -> None:
    orders = await due_orders(house, 3)
    kept = await house.order(await house.listed())
    await project(pool)
    await Deadlines(Queries(pool), house.marketplace).tick()
    await project(pool)
    statuses = {order.id: await Queries(pool).order(order.id) for order in [*orders, kept]}
    assert {row.status for row in statuses.values() if row is not None and row.id != kept.id} == {"expired"}
    assert statuses[kept.id] is not None
    assert statuses[kept.id].status == "created"  # type: ignore[union-attr]
    assert (await house.ticket(orders[0].items[0].ticket_id)).held == 0


async def test_many_pages_are_gone_through_in_one_tick(
    house: House, pool: AsyncConnectionPool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "BATCH", 4)
    await due_orders(house, 30)
    await project(pool)
    await Deadlines(Queries(pool), house.marketplace).tick()
    assert ended(database_url) == 30


async def test_a_read_model_that_lags_has_nothing_ended_twice(
    house: House, pool: AsyncConnectionPool, database_url: str
) -> None:
    """It goes on showing as open what was ended: that is not asked again and again, and would change nothing."""
    await due_orders(house, 5)
    await project(pool)
    first, other = (Deadlines(Queries(pool), house.marketplace) for _ in range(2))
    for timer in (first, first, other):
        await timer.tick()
    assert ended(database_url) == 5
    assert len(first._ended) == 5
    await project(pool)
    await first.tick()
    assert first._ended == set()


async def test_an_order_that_is_not_in_the_log_stops_nobody(
    house: House, pool: AsyncConnectionPool, database_url: str
) -> None:
    await due_orders(house, 3)
    await project(pool)
    rows(
        database_url,
        "UPDATE buyer_orders SET id = gen_random_uuid() WHERE id = (SELECT min(id::text)::uuid FROM buyer_orders)",
    )
    await Deadlines(Queries(pool), house.marketplace).tick()
    assert ended(database_url) == 2

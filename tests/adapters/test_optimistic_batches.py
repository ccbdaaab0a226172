"""Batches that are decided without the lock: the message that appends them is refused whenever that was wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from adapters.database import APPEND_LOCK
from adapters.event_store import PostgresEventStore
from adapters.store_transaction import LockedTransaction, OptimisticTransaction
from domain.actors import ALONE_SECONDS, MAX_AT_RISK
from domain.aggregate import Aggregate
from domain.errors import EmailTaken, SoldOut, TicketNotFound
from domain.ports import LockNeeded, Unreadable
from domain.records import Account
from domain.ticket import Ticket
from tests.adapters.test_event_store import House, ask, once, open_house
from tests.conftest import HOUSE_KEY
from tests.domain.scenes import BUYER, OTHER, SELLER, listing


class Watched(PostgresEventStore):
    """Takes down how each batch was begun and how it ended, and what was loaded under the lock."""

    def __init__(self, url: str) -> None:
        super().__init__(url, HOUSE_KEY)
        self.seen: list[str] = []
        self.loaded_under_the_lock: set[UUID] = set()

    @asynccontextmanager
    async def begin(self, after: int | None) -> AsyncIterator[LockedTransaction]:
        async with super().begin(after) as transaction:
            inner = transaction.load

            async def load(ids: Collection[UUID]) -> dict[UUID, Aggregate | Unreadable]:
                self.loaded_under_the_lock.update(ids)
                return await inner(ids)

            transaction.load = load  # type: ignore[method-assign]
            yield transaction
        self.seen.append("locked")

    @asynccontextmanager
    async def begin_optimistic(self, after: int) -> AsyncIterator[OptimisticTransaction]:
        async with super().begin_optimistic(after) as transaction:
            inner = transaction.commit

            async def commit(events: Any, records: Any) -> int:
                try:
                    end = await inner(events, records)
                except LockNeeded:
                    self.seen.append("refused")
                    raise
                self.seen.append("optimistic")
                return end

            transaction.commit = commit  # type: ignore[method-assign]
            yield transaction


@asynccontextmanager
async def alone(url: str) -> AsyncIterator[tuple[House, Watched]]:
    """A process that decides without the lock by now."""
    store = Watched(url)
    async with open_house(url, store) as house:
        await house.listed()
        await asyncio.sleep(ALONE_SECONDS)
        await house.listed()
        assert store.seen[-1] == "optimistic"
        store.seen.clear()
        yield house, store


async def test_a_process_alone_decides_before_it_locks(database_url: str) -> None:
    async with alone(database_url) as (house, store):
        ticket_id = await house.listed(quantity=2)
        order = await house.order(ticket_id, 2)
        with pytest.raises(SoldOut):
            await house.order(ticket_id)
        with pytest.raises(TicketNotFound):
            await house.order(uuid4())
        assert (await house.ticket(ticket_id)).holds.keys() == {order.id}
        assert set(store.seen) == {"optimistic"}


async def test_what_another_process_did_is_seen_before_anything_is_appended(database_url: str) -> None:
    async with alone(database_url) as (house, store), open_house(database_url) as another:
        ticket_id = await house.listed(quantity=2)
        await another.order(ticket_id, 2)
        store.seen.clear()
        with pytest.raises(SoldOut):
            await house.order(ticket_id)
        assert store.seen == ["refused", "locked"]
        await house.listed()  # a while longer
        assert store.seen == ["refused", "locked", "locked"]
        assert (await house.ticket(ticket_id)).held == 2


async def test_a_refusal_is_never_made_on_old_state(database_url: str) -> None:
    async with alone(database_url) as (house, store), open_house(database_url) as another:
        ticket_id = await house.listed(quantity=1)
        order = await house.order(ticket_id)
        await another.marketplace.cancel_order(order.id, BUYER, ask())
        store.seen.clear()
        assert (await house.order(ticket_id, buyer=OTHER)).status == "created"
        assert store.seen == ["refused", "locked"]


async def test_two_processes_that_were_alone_sell_nothing_twice(database_url: str) -> None:
    async with alone(database_url) as (one, _), open_house(database_url) as two:
        ticket_id = await one.listed(quantity=150)
        await two.order(ticket_id, 1)

        async def rush(house: House, orders: int) -> int:
            outcomes = await asyncio.gather(*(house.order(ticket_id) for _ in range(orders)), return_exceptions=True)
            assert all(isinstance(outcome, SoldOut) for outcome in outcomes if isinstance(outcome, BaseException))
            return sum(not isinstance(outcome, BaseException) for outcome in outcomes)

        async def rush_by_fives(house: House) -> int:
            return sum([await rush(house, 5) for _ in range(40)])

        assert sum(await asyncio.gather(rush(one, 200), rush_by_fives(two))) == 149
        assert (await one.ticket(ticket_id)).held == 150


async def test_orders_and_their_tickets_are_loaded_before_the_log_is_locked(database_url: str) -> None:
    store = Watched(database_url)
    async with open_house(database_url) as another, open_house(database_url, store) as fresh:
        orders = [await another.order(await another.listed()) for _ in range(2)]
        await fresh.marketplace.cancel_order(orders[0].id, BUYER, ask())
        await another.listed()
        await fresh.marketplace.cancel_order(orders[1].id, BUYER, ask())
        assert store.seen == ["locked", "optimistic", "refused", "locked"]
        assert store.loaded_under_the_lock == set()


@pytest.mark.parametrize("seconds", [-600, -1.5, 1.5, 600])
async def test_a_clock_that_is_off_is_noticed_before_anything_is_appended(database_url: str, seconds: float) -> None:
    async with alone(database_url) as (house, store):
        store._clock.set(datetime.now(UTC) + timedelta(seconds=seconds))
        before = datetime.now(UTC)
        order = await house.order(await house.listed())
        assert store.seen[:2] == ["refused", "locked"]
        assert timedelta() <= order.created_on - before < timedelta(seconds=1)


async def test_the_answer_under_a_key_is_the_only_one_without_the_lock_too(database_url: str) -> None:
    async with alone(database_url) as (house, store), open_house(database_url) as another:
        offered: list[UUID] = []

        async def offer(at: House) -> str:
            offered.append(uuid4())
            asking = ask(lambda ticket: str(ticket.id), once("same"))
            return str(await at.marketplace.offer(offered[-1], SELLER, listing(), asking))

        assert await offer(house) == str(offered[0])
        assert store.seen == ["optimistic"]
        assert await offer(another) == await offer(house) == str(offered[0])
        assert len(house.rows("SELECT 1 FROM stored_events WHERE originator_id = ANY(%s)", offered)) == 1


async def test_what_only_the_lock_keeps_still_is_asked_under_the_lock(database_url: str) -> None:
    async with alone(database_url) as (house, store):

        def sign_up() -> object:
            return house.marketplace.sign_up(Account(uuid4(), "a@example.org", "A", "hash"), None, ask())

        await sign_up()  # type: ignore[misc]
        assert store.seen == ["locked"]
        with pytest.raises(EmailTaken):
            await sign_up()  # type: ignore[misc]


def test_the_function_takes_the_lock_that_everybody_takes(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as holder, psycopg.connect(database_url) as asker:
        holder.execute("SELECT pg_advisory_lock(%s)", (APPEND_LOCK,))
        asker.execute("SET lock_timeout = 100")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            asker.execute("SELECT append_alone(0, now(), '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')")


async def test_what_is_not_in_memory_is_fetched_before_others_have_to_wait(database_url: str) -> None:
    async with open_house(database_url) as another:
        ticket_id = await another.listed(quantity=5)
        store = Watched(database_url)
        async with open_house(database_url, store) as house:
            await house.order(await house.listed())  # now it knows where the log ends
            store.seen.clear()
            with psycopg.connect(database_url, autocommit=True) as holder:
                holder.execute("SELECT pg_advisory_lock(%s)", (APPEND_LOCK,))
                ordering = asyncio.ensure_future(house.order(ticket_id, 2))
                await asyncio.sleep(0.2)
                assert ticket_id in house.actors._cache
                assert not ordering.done()
                appending = asyncio.ensure_future(another.order(ticket_id, 3))
                await asyncio.sleep(0.1)
            assert {order.status for order in await asyncio.gather(ordering, appending)} == {"created"}
            with pytest.raises(SoldOut):
                await house.order(ticket_id)
            assert (await house.ticket(ticket_id)).held == 5


async def test_what_takes_long_to_load_is_not_put_at_risk(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with alone(database_url) as (house, store):
        ticket_id = await house.listed()
        monkeypatch.setattr(Ticket, "snapshot_interval", lambda _: MAX_AT_RISK + 1)
        store.seen.clear()
        await house.order(ticket_id)
        await house.listed()
        assert store.seen == ["locked", "optimistic"]

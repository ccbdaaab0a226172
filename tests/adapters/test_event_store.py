"""The lock-first store and the actors on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from adapters.database import make_pool
from adapters.event_codec import EventMapper
from adapters.event_log import EventLog
from adapters.event_store import PostgresEventStore
from adapters.store_transaction import LockedTransaction, OptimisticTransaction
from domain.actors import ALONE_SECONDS, Actors
from domain.aggregate import Cause
from domain.errors import EmailTaken, IdempotencyKeyReused, OwnTicket, SoldOut, TicketNotFound
from domain.marketplace import Ask, Marketplace, Wanted
from domain.order import Charge, Order
from domain.payouts import Refund
from domain.records import Account
from domain.ticket import Ticket
from domain.work import Once, Work
from tests.conftest import HOUSE_KEY
from tests.domain.scenes import BUYER, INTENT, NOON, OTHER, SELLER, at, listing


@dataclass
class House:
    """A marketplace of one process, and the way past it."""

    marketplace: Marketplace
    actors: Actors
    url: str

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    async def listed(self, **more: Any) -> UUID:
        ticket_id = uuid4()
        await self.marketplace.offer(ticket_id, SELLER, listing(**more), ask())
        return ticket_id

    async def order(self, ticket_id: UUID, quantity: int = 1, buyer: UUID = BUYER) -> Order:
        return await self.marketplace.place_order(uuid4(), buyer, [Wanted(ticket_id, quantity)], ask(lambda o: o))

    async def ticket(self, ticket_id: UUID) -> Ticket:
        pool = make_pool(self.url, max_size=1)
        await pool.open()
        try:
            ticket = await EventLog(pool).aggregate(Ticket, ticket_id)
        finally:
            await pool.close()
        assert ticket is not None
        return ticket


def ask(answer: Any = lambda aggregate: aggregate.version, once: Any = None) -> Ask[Any, Any]:
    return Ask(Cause(BUYER, uuid4(), uuid4()), answer, once)


def once(key: str, fingerprint: bytes = b"f") -> Once[str]:
    return Once(BUYER, key, fingerprint, str.encode, bytes.decode, lambda refusal: refusal.code)


@asynccontextmanager
async def open_house(url: str, store: PostgresEventStore | None = None) -> AsyncIterator[House]:
    actors = Actors(store or PostgresEventStore(url, HOUSE_KEY))
    actors.start()
    try:
        yield House(Marketplace(actors, 900), actors, url)
    finally:
        await actors.stop()


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with open_house(database_url) as opened:
        yield opened


async def test_an_order_is_stored_with_its_holds_in_one_transaction(house: House) -> None:
    first, second = await house.listed(), await house.listed()
    order_id = uuid4()
    await house.marketplace.place_order(order_id, BUYER, [Wanted(first, 2), Wanted(second, 1)], ask())
    topics = [row[0] for row in house.rows("SELECT topic FROM stored_events ORDER BY notification_id")]
    assert topics[2:] == ["stagedoor.Ticket.Reserved", "stagedoor.Ticket.Reserved", "stagedoor.Order.Created"]
    # Rows of one transaction carry its id.
    assert len(house.rows("SELECT DISTINCT xmin FROM stored_events WHERE notification_id > 2")) == 1


async def test_an_order_of_several_listings_is_all_or_nothing(house: House) -> None:
    plenty, none_left = await house.listed(), await house.listed(quantity=1)
    await house.order(none_left)
    with pytest.raises(SoldOut):
        await house.marketplace.place_order(uuid4(), BUYER, [Wanted(plenty, 1), Wanted(none_left, 1)], ask())
    assert (await house.ticket(plenty)).held == 0


async def test_ten_thousand_cannot_be_sold_of_one_hundred(house: House) -> None:
    ticket_id = await house.listed(quantity=100)
    outcomes = await asyncio.gather(*(house.order(ticket_id) for _ in range(2_000)), return_exceptions=True)
    assert sum(isinstance(outcome, Order) for outcome in outcomes) == 100
    assert sum(isinstance(outcome, SoldOut) for outcome in outcomes) == 1_900
    assert (await house.ticket(ticket_id)).held == 100


async def test_two_processes_sell_one_listing_without_a_conflict(database_url: str) -> None:
    async with open_house(database_url) as one, open_house(database_url) as two:
        ticket_id = await one.listed(quantity=300)
        outcomes = await asyncio.gather(
            *(house.order(ticket_id) for house in (one, two) for _ in range(300)), return_exceptions=True
        )
        sold = [outcome for outcome in outcomes if isinstance(outcome, Order)]
        assert len(sold) == 300
        assert all(isinstance(outcome, Order | SoldOut) for outcome in outcomes)
        versions = one.rows(
            "SELECT originator_version FROM stored_events WHERE originator_id = %s ORDER BY 1", ticket_id
        )
        assert [row[0] for row in versions] == list(range(1, 302))


async def test_own_tickets_cannot_be_bought(house: House) -> None:
    ticket_id = await house.listed()
    with pytest.raises(OwnTicket):
        await house.order(ticket_id, buyer=SELLER)


async def test_an_unknown_listing_is_not_found(house: House) -> None:
    with pytest.raises(TicketNotFound):
        await house.order(uuid4())


async def test_a_refused_command_fails_alone_in_its_batch(house: House) -> None:
    ticket_id = await house.listed(quantity=3)
    outcomes = await asyncio.gather(
        house.order(ticket_id), house.order(uuid4()), house.order(ticket_id), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Order, TicketNotFound, Order]


async def test_a_command_that_fails_half_way_changes_nothing_and_spares_the_others(house: House) -> None:
    ticket_id = await house.listed(quantity=3)

    def half(work: Work) -> None:
        ticket = work.find(Ticket, ticket_id)
        assert ticket is not None
        ticket.reserve(uuid4(), 1, NOON + timedelta(days=9_999), work.stamp)
        raise ZeroDivisionError

    broken = house.actors.tell([ticket_id], half, Cause(None, uuid4(), uuid4()))
    outcomes = await asyncio.gather(broken, house.order(ticket_id), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, Order]
    assert (await house.ticket(ticket_id)).held == 1


async def test_the_same_key_is_one_effect_and_one_answer(house: House) -> None:
    ticket_id = await house.listed()
    place = house.marketplace.place_order
    wanted = [Wanted(ticket_id, 1)]

    async def request(key: str, fingerprint: bytes = b"f") -> str:
        answer = ask(lambda order: str(order.id), once(key, fingerprint))
        return str(await place(uuid4(), BUYER, wanted, answer))

    answers = await asyncio.gather(request("k1"), request("k1"), request("k2"))
    assert answers[0] == answers[1] != answers[2]
    assert await request("k1") == answers[0]
    assert (await house.ticket(ticket_id)).held == 2
    with pytest.raises(IdempotencyKeyReused):
        await request("k1", b"another body")


async def test_a_key_that_another_process_answered_is_found_by_all_the_batch(house: House) -> None:
    """This process does not know of it: the store refuses the second answer, and the batch is decided once more."""
    ticket_id = await house.listed()
    async with open_house(house.url) as other:

        async def request(of: House, key: str) -> str:
            answer = ask(lambda order: str(order.id), once(key))
            return str(await of.marketplace.place_order(uuid4(), BUYER, [Wanted(ticket_id, 1)], answer))

        first = await request(house, "k1")
        answers = await asyncio.gather(*(request(other, key) for key in ("k2", "k1", "k3", "k1")))
        assert answers[1] == answers[3] == first
        assert len(set(answers)) == 3
        assert await asyncio.gather(*(request(house, key) for key in ("k3", "k2"))) == [answers[2], answers[0]]
        assert (await house.ticket(ticket_id)).held == 3


async def test_a_refusal_is_kept_under_its_key_too(house: House) -> None:
    ticket_id = await house.listed(quantity=1)
    taken = await house.order(ticket_id)

    async def request() -> Any:
        return await house.marketplace.place_order(uuid4(), OTHER, [Wanted(ticket_id, 1)], ask(str, once("k")))

    assert await request() == "sold_out"
    await house.marketplace.cancel_order(taken.id, BUYER, ask())
    assert await request() == "sold_out"


async def test_money_after_the_deadline_completes_the_order_while_its_units_are_free(house: House) -> None:
    ticket_id = await house.listed(quantity=1, hold_seconds=2)
    order = await house.order(ticket_id)
    await house.marketplace.await_payment(order.id, INTENT, ask())
    await asyncio.sleep(2.1)
    await house.marketplace.expire_order(order.id, ask())
    charge = Charge(INTENT, "ch_1", order.total)
    status = await house.marketplace.take_charge(order.id, charge, ask(lambda o: o.status))
    again = await house.marketplace.take_charge(order.id, charge, ask(lambda o: o.version))
    assert (status, again) == ("completed", 5)
    assert (await house.ticket(ticket_id)).sold == 1


async def test_money_after_the_deadline_goes_back_when_another_has_the_units(house: House) -> None:
    ticket_id = await house.listed(quantity=1, hold_seconds=2)
    order = await house.order(ticket_id)
    await house.marketplace.await_payment(order.id, INTENT, ask())
    await asyncio.sleep(2.1)
    winner = await house.order(ticket_id, buyer=OTHER)
    charge = Charge(INTENT, "ch_1", order.total)
    answer = await house.marketplace.take_charge(order.id, charge, ask(lambda o: (o.status, o.due_moves())))
    assert answer == ("expired", (Refund(1, "ch_1", order.total, "sold_out"),))
    assert list((await house.ticket(ticket_id)).holds) == [winner.id]


async def test_a_free_order_is_completed_and_sold_at_once(house: House) -> None:
    ticket_id = await house.listed(amount=0)
    order = await house.order(ticket_id, 2)
    assert order.status == "completed"
    assert (await house.ticket(ticket_id)).sold == 2


async def test_an_email_belongs_to_one_account(house: House) -> None:
    def sign_up(name: str) -> Any:
        return house.marketplace.sign_up(Account(uuid4(), "a@example.org", name, "hash"), None, ask())

    outcomes = await asyncio.gather(sign_up("one"), sign_up("two"), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["EmailTaken", "int"]
    with pytest.raises(EmailTaken):
        await sign_up("three")
    assert len(house.rows("SELECT * FROM accounts")) == 1


async def test_a_snapshot_saves_reading_the_history(database_url: str) -> None:
    async with open_house(database_url) as house:
        ticket_id = await house.listed(quantity=2_000)
        await asyncio.gather(*(house.order(ticket_id) for _ in range(1_200)))
    assert house.rows("SELECT topic FROM stored_snapshots WHERE originator_id = %s", ticket_id)
    async with open_house(database_url) as house:
        await house.order(ticket_id)
        assert (await house.ticket(ticket_id)).held == 1_201


async def test_a_corrupt_snapshot_is_passed_over(database_url: str) -> None:
    async with open_house(database_url) as house:
        ticket_id = await house.listed()
        await house.order(ticket_id)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO stored_snapshots VALUES (%s, 2, 'stagedoor.Ticket', 'garbage'::bytea)", (ticket_id,)
        )
    async with open_house(database_url) as house:
        await house.order(ticket_id)
        assert (await house.ticket(ticket_id)).held == 2


async def test_terminated_connections_lose_nothing_that_was_answered(house: House) -> None:
    ticket_id = await house.listed(quantity=1_000)
    answered = []

    async def buy() -> None:
        for _ in range(60):
            order = await house.order(ticket_id)
            answered.append(order)

    async def cut() -> None:
        for _ in range(6):
            await asyncio.sleep(0.03)
            house.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    await asyncio.gather(buy(), buy(), buy(), cut())
    ticket = await house.ticket(ticket_id)
    assert len(answered) == len({order.id for order in answered}) == 180
    assert set(ticket.holds) == {order.id for order in answered}


class LosesAnswers(PostgresEventStore):
    """Commits, then behaves as if the connection had been cut before the answer."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.losses = 0

    @asynccontextmanager
    async def begin(self, after: int | None) -> AsyncIterator[Any]:
        async with super().begin(after) as transaction:
            yield self._losing(transaction)

    @asynccontextmanager
    async def begin_optimistic(self, after: int) -> AsyncIterator[Any]:
        async with super().begin_optimistic(after) as transaction:
            yield self._losing(transaction)

    def _losing(self, transaction: LockedTransaction | OptimisticTransaction) -> Any:
        inner = transaction.commit

        async def commit(events: Any, records: Any) -> int:
            end = await inner(events, records)
            if events and self.losses > 0:
                self.losses -= 1
                transaction.committing = True
                await transaction._connection.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return end

        transaction.commit = commit  # type: ignore[method-assign]
        return transaction


@pytest.mark.parametrize("alone_seconds", [0.0, 1.5 * ALONE_SECONDS])
async def test_a_commit_whose_answer_was_lost_is_neither_a_conflict_nor_done_twice(
    database_url: str, alone_seconds: float
) -> None:
    store = LosesAnswers(database_url)
    async with open_house(database_url, store) as house:
        await house.listed()
        await asyncio.sleep(alone_seconds)
        ticket_id = await house.listed()
        store.losses = 1
        order = await house.order(ticket_id, 2)
        assert order.status == "created"
        assert (await house.order(ticket_id, 1)).version == 1
        assert (await house.ticket(ticket_id)).held == 3
        assert len(house.rows("SELECT 1 FROM stored_events WHERE topic = 'stagedoor.Order.Created'")) == 2


async def test_after_a_lost_answer_nothing_is_decided_on_what_others_have_changed(database_url: str) -> None:
    store = LosesAnswers(database_url)
    async with open_house(database_url, store) as house, open_house(database_url) as another:
        wanted = await house.listed(quantity=1)
        order = await house.order(wanted)
        store.losses = 1
        await house.listed()  # from here on this process does not know how far it has seen the log
        await another.marketplace.cancel_order(order.id, BUYER, ask())
        items = [Wanted(await another.listed(), 1), Wanted(wanted, 1)]
        assert await house.marketplace.place_order(uuid4(), OTHER, items, ask()) == 1


async def test_the_library_itself_reads_and_appends_to_the_log(house: House) -> None:
    ticket_id = await house.listed()
    info = conninfo_to_dict(house.url)
    with PostgresDatastore(
        str(info["dbname"]), str(info["host"]), "5432", str(info["user"]), "", originator_id_type="uuid"
    ) as datastore:
        recorder = PostgresApplicationRecorder(datastore)
        recorder.create_table()
        notification = recorder.select_notifications(None, 10)[0]
        created = EventMapper().to_domain_event(notification)
        assert isinstance(created, Ticket.Created)
        ticket = created.mutate(None)
        ticket.edit(replace(ticket.listing, title="By the library"), SELLER, at())
        recorder.insert_events([EventMapper().to_stored_event(event) for event in ticket.collect_events()])
    assert (await house.order(ticket_id)).items[0].title == "By the library"


async def test_the_state_at_a_moment_is_what_it_was(house: House) -> None:
    ticket_id = await house.listed()
    order = await house.order(ticket_id, 2)
    await house.marketplace.cancel_order(order.id, BUYER, ask())
    pool = make_pool(house.url, max_size=1)
    await pool.open()
    log = EventLog(pool)
    events = await log.history(ticket_id)
    seen = [await log.aggregate(Ticket, ticket_id, as_of=event.time) for event in events]
    before = await log.aggregate(Ticket, ticket_id, as_of=events[0].time - timedelta(microseconds=1))
    as_order = await log.aggregate(Order, ticket_id)
    everything = await log.after(0, limit=100)
    await pool.close()
    assert [ticket.held for ticket in seen if ticket] == [0, 2, 0]
    assert before is None
    assert as_order is None
    assert [event.position for event in everything] == sorted(event.position for event in everything)

"""Queries on a real PostgreSQL: filters, orders, pages, due work."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from domain.listing import EventDetails, Listing
from domain.money import Money
from projections.buyer_orders import BUYER_ORDERS
from projections.cursor import encode_cursor
from projections.projection import Change, Projection, fold
from projections.queries import (
    _DUE_ORDERS,
    _PAYOUTS_DUE,
    CANCEL_INTENT,
    MOVE_MONEY,
    SETTLE,
    SORTS,
    BadCursor,
    Queries,
    TicketFilter,
    TicketRow,
)
from projections.ticket_listing import TICKET_LISTING
from projections.ticket_search import search_query
from projections.writer import Writer
from tests.projections.stories import Story
from tests.projections.test_projectors import CAUSE, ORDERED

NOW = datetime.now(UTC).replace(microsecond=0)
SELLER, OTHER_SELLER, BUYER = UUID(int=1), UUID(int=2), UUID(int=3)


def ticket(title: str, number: int = 1, **columns: Any) -> Change:
    """A row of the read model; `number` orders it in every way."""
    event = EventDetails("Semi-final", NOW + timedelta(days=number), "AT&T Stadium", "FIFA", "football")
    listing = Listing(title, event, Money(number * 100, "EUR"), 5)
    row = {
        "seller_id": SELLER, "title": title, "event_name": event.name, "starts_at": event.starts_at,
        "venue": event.venue, "promoter": event.promoter, "category": event.category, "amount": number * 100,
        "currency": "EUR", "quantity": 5, "description": None, "hold_seconds": None, "available": 5, "held": 0,
        "sold": 0, "withdrawn": False, "created_at": NOW + timedelta(seconds=number), "updated_at": NOW,
        **columns,
    }  # fmt: skip
    offer = replace(
        listing,
        event=replace(event, name=row["event_name"], venue=row["venue"], category=row["category"]),
        price=Money(row["amount"], row["currency"]),
    )
    made = TICKET_LISTING.project(_listed(offer))
    return Change(uuid4(), 0, 1, {**row, "title_key": made["title_key"], "terms": made["terms"]})


def _listed(listing: Listing) -> Any:
    from domain.published import TICKETS, PublishedEvent, TicketCreated

    return PublishedEvent(TICKETS, "TicketCreated", uuid4(), 1, 1, NOW, CAUSE, TicketCreated(SELLER, listing, 5, 0, 0))


async def have(pool: AsyncConnectionPool, *changes: Change, projection: Projection = TICKET_LISTING) -> None:
    await Writer(pool, projection).write(changes, [], {})


async def titles(queries: Queries, sort: str = "created_at", **wanted: Any) -> list[str]:
    page = await queries.tickets(TicketFilter(**wanted), sort, 50, None)
    return [row.listing.title for row in page.items]


async def test_a_listing_comes_back_as_it_was_written(pool: AsyncConnectionPool, queries: Queries) -> None:
    change = ticket("Final", 3, description="…", hold_seconds=60, available=1, held=1, sold=3)
    await have(pool, change)
    event = EventDetails("Semi-final", NOW + timedelta(days=3), "AT&T Stadium", "FIFA", "football")
    listing = Listing("Final", event, Money(300, "EUR"), 5, "…", 60)
    created_at = NOW + timedelta(seconds=3)
    assert await queries.ticket(change.id) == TicketRow(change.id, 1, SELLER, listing, 1, 1, 3, "open", created_at, NOW)
    assert await queries.ticket(uuid4()) is None


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({}, "open"),
        ({"available": 0, "held": 5}, "sold_out"),
        ({"withdrawn": True}, "withdrawn"),
        ({"withdrawn": True, "available": 0, "sold": 5}, "withdrawn"),
    ],
)
async def test_the_status_of_a_listing(
    pool: AsyncConnectionPool, queries: Queries, columns: dict[str, Any], status: str
) -> None:
    change = ticket("Final", **columns)
    await have(pool, change)
    row = await queries.ticket(change.id)
    assert row is not None
    assert row.status == status


async def test_listings_by_id_come_in_the_order_asked(pool: AsyncConnectionPool, queries: Queries) -> None:
    changes = [ticket(f"t{number}", number) for number in range(5)]
    await have(pool, *changes)
    wanted = [changes[3].id, uuid4(), changes[0].id, changes[4].id]
    assert [row.id for row in await queries.tickets_by_id(wanted)] == [wanted[0], wanted[2], wanted[3]]
    assert await queries.tickets_by_id([]) == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["Final", "Zürich Open", "Łódź Jazz"]),
        ({"q": "semi-final"}, ["Final", "Łódź Jazz"]),
        ({"q": "AT&T"}, ["Final"]),
        ({"q": "zurich"}, ["Zürich Open"]),
        ({"q": "lodz"}, ["Łódź Jazz"]),
        ({"q": "ZÜR op"}, ["Zürich Open"]),
        ({"q": "open zur tennis fifa"}, ["Zürich Open"]),
        ({"q": "stad"}, ["Final"]),
        ({"q": "fin semi"}, ["Final", "Łódź Jazz"]),
        ({"q": "nothing like it"}, []),
        ({"q": "?!"}, []),
        ({"q": "  "}, ["Final", "Zürich Open", "Łódź Jazz"]),
        ({"q": "category"}, []),
        ({"q": "=category:tennis"}, []),
        ({"category": "Tennis"}, ["Zürich Open"]),
        ({"category": "tenn"}, []),
        ({"venue": "hallenstadion"}, ["Zürich Open"]),
        ({"venue": "O'Neill \\ Sons"}, ["Łódź Jazz"]),
        ({"promoter": "fifa"}, ["Final", "Zürich Open", "Łódź Jazz"]),
        ({"promoter": "nobody"}, []),
        ({"currency": "CHF"}, ["Zürich Open"]),
        ({"currency": "EUR", "category": "football"}, ["Final"]),
        ({"min_price": 200}, ["Zürich Open", "Łódź Jazz"]),
        ({"max_price": 200}, ["Final", "Zürich Open"]),
        ({"min_price": 101, "max_price": 299}, ["Zürich Open"]),
        ({"starts_from": NOW + timedelta(days=2)}, ["Zürich Open", "Łódź Jazz"]),
        ({"starts_to": NOW + timedelta(days=2)}, ["Final"]),
        ({"seller_id": SELLER}, ["Final", "Zürich Open", "Gone"]),
        ({"seller_id": OTHER_SELLER}, ["Łódź Jazz"]),
        ({"available": True}, ["Final", "Łódź Jazz"]),
        ({"available": False}, ["Zürich Open"]),
        ({"available": True, "seller_id": SELLER}, ["Final"]),
        ({"available": False, "seller_id": SELLER}, ["Zürich Open", "Gone"]),
        ({"available": True, "q": "final", "max_price": 100}, ["Final"]),
    ],
)
async def test_filters(pool: AsyncConnectionPool, queries: Queries, wanted: dict[str, Any], found: list[str]) -> None:
    await have(
        pool,
        ticket("Final", 1),
        ticket(
            "Zürich Open", 2, event_name="Singles", venue="Hallenstadion", category="Tennis", currency="CHF",
            available=0, held=5,
        ),
        ticket("Łódź Jazz", 3, venue="O'Neill \\ Sons", category=None, seller_id=OTHER_SELLER),
        ticket("Gone", 4, withdrawn=True),
    )  # fmt: skip
    assert await titles(queries, **wanted) == found


@pytest.mark.parametrize("sort", SORTS)
async def test_pages_go_through_every_order_without_gap_or_repetition(
    pool: AsyncConnectionPool, queries: Queries, sort: str
) -> None:
    # Ties in every order, so that the ids have to decide.
    changes = [ticket(f"Title {number // 3}", number // 3) for number in range(23)]
    await have(pool, *changes)
    walked: list[TicketRow] = []
    cursor: str | None = None
    for _ in range(5):
        page = await queries.tickets(TicketFilter(), sort, 5, cursor)
        walked += page.items
        cursor = page.next_cursor
        assert (cursor is None) == (len(walked) == 23)
    number = {change.id: change.columns["amount"] for change in changes}
    ways = [(number[row.id], row.id) for row in walked]
    assert ways == sorted(ways, reverse=sort.startswith("-"))
    assert len(set(ways)) == 23


async def test_the_last_full_page_has_no_next(pool: AsyncConnectionPool, queries: Queries) -> None:
    await have(pool, ticket("a", 1), ticket("b", 2))
    assert (await queries.tickets(TicketFilter(), "price", 2, None)).next_cursor is None
    assert (await queries.tickets(TicketFilter(), "price", 1, None)).next_cursor is not None


async def test_titles_are_sorted_as_people_read_them(pool: AsyncConnectionPool, queries: Queries) -> None:
    await have(pool, ticket("beta"), ticket("Alpha"), ticket("Äther"), ticket("Zeta"), ticket("alpine"))
    assert await titles(queries, "title") == ["Alpha", "alpine", "Äther", "beta", "Zeta"]


async def test_a_cursor_is_taken_back_only_as_it_was_given(pool: AsyncConnectionPool, queries: Queries) -> None:
    await have(pool, ticket("a", 1), ticket("b", 2))
    cursor = (await queries.tickets(TicketFilter(), "price", 1, None)).next_cursor
    assert cursor is not None
    edited = cursor[:-3] + ("aaa" if cursor[-3:] != "aaa" else "bbb")
    other_kind = encode_cursor("price", "not a number", uuid4())
    for bad in ("", "x", "é", "=" * 9, cursor + "AA", edited, "A" * 10_000, other_kind):
        with pytest.raises(BadCursor):
            await queries.tickets(TicketFilter(), "price", 1, bad)
    with pytest.raises(BadCursor):
        await queries.tickets(TicketFilter(), "-price", 1, cursor)
    with pytest.raises(BadCursor):
        await queries.orders(BUYER, limit=1, cursor=cursor)


@pytest.mark.parametrize("available", [None, True])
@pytest.mark.parametrize("sort", SORTS)
async def test_every_order_has_an_index(pool: AsyncConnectionPool, sort: str, available: bool | None) -> None:
    """A page never sorts: whatever the order, it is read along an index."""
    for cursor in (None, "next"):
        wanted = TicketFilter(available=available)
        value = {"created_at": NOW, "starts_at": NOW, "price": 1, "title": "a"}[sort.removeprefix("-")]
        place = None if cursor is None else encode_cursor(sort, value, uuid4())  # type: ignore[arg-type]
        query, parameters, _ = search_query(wanted, sort, 20, place)
        async with pool.connection() as connection:
            await connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
            rows = await (await connection.execute(b"EXPLAIN " + query, parameters)).fetchall()
            await connection.execute("RESET enable_seqscan; RESET enable_bitmapscan")
        plan = "\n".join(row[0] for row in rows)
        kind = {"created_at": "created", "starts_at": "starts", "price": "price", "title": "title"}
        state = "on_sale_" if available else ""
        assert f"ticket_listing_{state}{kind[sort.removeprefix('-')]}" in plan
        assert "Sort" not in plan


@pytest.mark.parametrize(("query", "moment"), [(_DUE_ORDERS, "expires_at"), (_PAYOUTS_DUE, "payout_at")])
async def test_what_is_not_due_yet_is_not_read(pool: AsyncConnectionPool, query: str, moment: str) -> None:
    """On a morning with a hundred thousand open orders they are looked for twice a second."""
    async with pool.connection() as connection:
        await connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        rows = await (await connection.execute(f"EXPLAIN {query}".encode(), (None, UUID(int=0), 10))).fetchall()
        await connection.execute("RESET enable_seqscan; RESET enable_bitmapscan")
    [bounds] = [row[0] for row in rows if "Index Cond" in row[0] and moment in row[0]]
    assert f"{moment} <= " in bounds


async def orders_of_a_story(pool: AsyncConnectionPool) -> tuple[Story, UUID]:
    story = Story(5, listings=4).tell(900)
    events = [event for event in story.published() if event.topic == BUYER_ORDERS.topic]
    runs: dict[UUID, list[Any]] = {}
    for event in events:
        runs.setdefault(event.subject, []).append(event)
    changes = [fold(BUYER_ORDERS, 0, run) for run in runs.values()]
    await have(pool, *(change for change in changes if change), projection=BUYER_ORDERS)
    return story, story.users[1].id


async def test_an_order_comes_back_as_the_domain_has_it(pool: AsyncConnectionPool, queries: Queries) -> None:
    story, _ = await orders_of_a_story(pool)
    assert len(story.orders) > 50
    for order in story.orders:
        row = await queries.order(order.id)
        assert row is not None
        assert (row.version, row.buyer_id, row.status, row.items) == (
            order.version, order.buyer_id, order.status, order.items,
        )  # fmt: skip
        assert (row.total, row.expires_at, row.created_at) == (order.total, order.expires_at, order.created_on)
        assert (row.payment_intent_id, row.charge_id, row.refunds, row.refund_id) == (
            order.payment_intent_id, order.charge_id, order.refunds, order.refund_id,
        )  # fmt: skip
    assert await queries.order(uuid4()) is None


async def test_a_buyers_orders_come_newest_first(pool: AsyncConnectionPool, queries: Queries) -> None:
    story, buyer = await orders_of_a_story(pool)
    walked: list[UUID] = []
    cursor: str | None = None
    while True:
        page = await queries.orders(buyer, limit=7, cursor=cursor)
        walked += [row.id for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    newest_first = sorted(story.orders, key=lambda order: (order.created_on, order.id), reverse=True)
    assert walked == [order.id for order in newest_first]
    assert (await queries.orders(uuid4(), limit=7, cursor=None)).items == ()


async def test_due_work_is_what_the_domain_has_open(pool: AsyncConnectionPool, queries: Queries) -> None:
    story, _ = await orders_of_a_story(pool)
    money = {due.order_id for due in await queries.money_due(1_000)}
    assert money == {order.id for order in story.orders if order.due_moves()}
    charges = {due.order_id: due.charge_id for due in await queries.unsettled_charges(1_000)}
    assert charges == {
        order.id: order.charge_id
        for order in story.orders
        if order.charge_id is not None and order.charge_id not in order.settled_charge_ids
    }
    intents = {due.order_id: due.payment_intent_id for due in await queries.intents_to_cancel(1_000)}
    assert intents == {
        order.id: order.payment_intent_id
        for order in story.orders
        if order.intent_open and order.status in ("cancelled", "expired")
    }
    assert money
    assert charges
    assert intents


async def test_orders_fall_due_at_their_deadline_the_longest_due_first(
    pool: AsyncConnectionPool, queries: Queries
) -> None:
    def order(minutes: int, status: str) -> Change:
        columns = BUYER_ORDERS.project(_ordered())
        return Change(uuid4(), 0, 1, {**columns, "status": status, "expires_at": NOW + timedelta(minutes=minutes)})

    due = [order(-1, "created"), order(-3, "awaiting_payment"), order(-2, "created")]
    tomorrow = 24 * 60  # NOW is when the tests were loaded, and they take minutes
    await have(pool, *due, order(tomorrow, "created"), order(-9, "completed"), projection=BUYER_ORDERS)
    found = await queries.due_orders(10)
    assert [one.order_id for one in found] == [due[1].id, due[2].id, due[0].id]
    assert await queries.due_orders(10, found[0]) == found[1:]
    assert await queries.due_orders(1) == found[:1]
    assert await queries.due_orders(10, found[2]) == []


def _ordered() -> Any:
    from domain.published import ORDERS, PublishedEvent

    return PublishedEvent(ORDERS, "OrderCreated", uuid4(), 1, 1, NOW, CAUSE, ORDERED)


@pytest.mark.parametrize("reaction", [MOVE_MONEY, SETTLE, CANCEL_INTENT])
async def test_what_failed_waits_for_its_next_try(
    pool: AsyncConnectionPool, queries: Queries, database_url: str, reaction: str
) -> None:
    ended = {
        **BUYER_ORDERS.project(_ordered()),
        "status": "cancelled", "payment_intent_id": "pi_1", "intent_open": True,
        "unsettled_charge_id": "ch_1", "moves_due": 1,
    }  # fmt: skip
    waiting, ready, untried = (Change(uuid4(), 0, 1, ended) for _ in range(3))
    await have(pool, waiting, ready, untried, projection=BUYER_ORDERS)
    with psycopg.connect(database_url, autocommit=True) as connection:
        for change, when in ((waiting, "1 minute"), (ready, "-1 minute")):
            connection.execute(
                "INSERT INTO reaction_attempts VALUES (%s, %s, 1, now() + %s::interval, 'e', 1)",
                (change.id, reaction, when),
            )
    due: dict[str, list[Any]] = {
        MOVE_MONEY: await queries.money_due(9),
        SETTLE: await queries.unsettled_charges(9),
        CANCEL_INTENT: await queries.intents_to_cancel(9),
    }
    found = {kind: {one.order_id for one in orders} for kind, orders in due.items()}
    everything = {waiting.id, ready.id, untried.id}
    assert found == {kind: everything - {waiting.id} if kind == reaction else everything for kind in due}


async def test_payouts_fall_due_the_longest_due_first_and_say_who_can_be_paid(
    pool: AsyncConnectionPool, queries: Queries, database_url: str
) -> None:
    def order(minutes: int | None) -> Change:
        at = None if minutes is None else NOW + timedelta(minutes=minutes)
        return Change(uuid4(), 0, 1, {**BUYER_ORDERS.project(_ordered()), "payout_at": at})

    due = [order(-1), order(-3), order(-2)]
    await have(pool, *due, order(24 * 60), order(None), projection=BUYER_ORDERS)
    found = await queries.payouts_due(10)
    assert [(one.order_id, one.is_payable) for one in found] == [(due[number].id, False) for number in (1, 2, 0)]
    assert await queries.payouts_due(10, found[0]) == found[1:]
    seller_id = ORDERED.items[0].seller_id
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO user_status VALUES (%s, 1, false, false, now(), now(), true)", (seller_id,))
    assert all(one.is_payable for one in await queries.payouts_due(10))

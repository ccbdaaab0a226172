"""A marketplace's past by the million events, made in a minute instead of the hours that it would take to live it.

Every event is decided by the real aggregates, told what `domain/marketplace.py` would tell them, and encoded by the
store's own codec; the snapshots are those that the store would have kept. What is left out is a transaction for each
batch: all rows go in by COPY, on one connection that holds the lock of the log, as every writer does. So whoever loads
an aggregate, tails or replays the log finds what orders over HTTP would have left there (tests/bench/test_history.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import psycopg
from eventsourcing.persistence import StoredEvent

from adapters.database import APPEND_LOCK, CHANNEL
from adapters.event_chain import START, link
from adapters.event_codec import EventMapper, encode_snapshot
from api.ids import new_id
from bench.seeds import listing
from domain.aggregate import Aggregate, Cause, Event, Stamp
from domain.listing import MAX_QUANTITY, Listing
from domain.order import Charge, ChargeFailure, Item, Order
from domain.payouts import Terms
from domain.ticket import Ticket
from domain.user import User

PACE = timedelta(seconds=2)
"""From one order to the next."""

HOLD = timedelta(seconds=900)
PAYING_AT_ONCE = 100
"""Buyers who still have their cards in hand: an order is paid or cancelled 200 seconds after it was made."""

ORDERS_A_LISTING = 100
"""Of a mixed past, on average."""

PAID, DECLINED_FIRST, CANCELLED = 0.70, 0.15, 0.13
"""Shares of the orders, as in `stagedoor demo`: paid, a card refused before, cancelled; the others expire."""

_COPY_EVENTS = "COPY stored_events (originator_id, originator_version, topic, state, chain) FROM STDIN (FORMAT BINARY)"
_COPY_SNAPSHOTS = "COPY stored_snapshots (originator_id, originator_version, topic, state) FROM STDIN (FORMAT BINARY)"
_TYPES = ("uuid", "int8", "text", "bytea", "bytea")


class Past:
    """Decides what happened, in the order of the log. The same seed decides the same, but for the ids.

    Memory: the listings, the orders that are open, a hash for each aggregate, a snapshot for every thousand events of a
    listing.
    """

    def __init__(self, people: Sequence[UUID], began_at: datetime, seed: int = 2026) -> None:
        """The first of the people sells, the others buy; `began_at` is aware."""
        self.seller, *self.buyers = people
        self.snapshots: list[StoredEvent] = []
        """Grows while the events are taken; complete when they have ended."""
        self.chains: dict[UUID, bytes] = {}
        """The newest hash of everything that was written."""
        self._now = began_at
        self._random = Random(seed)
        self._charges = 0

    def sign_ups(self) -> Iterator[Event]:
        """Everybody opens an account."""
        for person in (self.seller, *self.buyers):
            yield from User.sign_up(person, self._stamp(person)).collect_events()

    def listed(self, offer: Listing) -> Ticket:
        """The seller lists tickets; the event is still to be taken (`Ticket.collect_events`)."""
        return Ticket.offer(new_id(), self.seller, offer, self._stamp(self.seller))

    def mixed(self, events: int) -> Iterator[Event]:
        """Listings, and orders that are paid, cancelled or left to expire. Some hundred are open at the end.

        Args:
            events: how many at least; an order or its end is never cut in two.
        """
        made = 0
        tickets = [self.listed(listing(number)) for number in range(max(1, events // (6 * ORDERS_A_LISTING)))]
        for ticket in tickets:
            made += 1
            yield from self._decided(ticket)
        in_hand: deque[tuple[Order, Ticket]] = deque()
        left: deque[tuple[Order, Ticket]] = deque()
        while made < events:
            for event in self._one_more(self._random.choice(tickets), in_hand, left):
                made += 1
                yield event

    def cancelled_orders(self, ticket: Ticket, count: int, snapshot_age: int = 0) -> Iterator[Event]:
        """So many orders of one listing, all over; four events each, two of them the listing's.

        Args:
            snapshot_age: goes on until the listing's newest snapshot is so many of its events old, so that what has to
                be read to load it is no luck; less than `Ticket.snapshot_interval()`.
        """
        assert snapshot_age < ticket.snapshot_interval()
        in_hand: deque[Order] = deque()
        for _ in range(count):
            in_hand.append(order := self._place(ticket, 1, self._now + HOLD))
            yield from self._decided(ticket, order)
            if len(in_hand) > PAYING_AT_ONCE:
                yield from self._cancel(in_hand.popleft(), ticket)
        while in_hand:
            yield from self._cancel(in_hand.popleft(), ticket)
        while ticket.version - ticket.snapshot_version < snapshot_age:
            yield from self._decided(ticket, order := self._place(ticket, 1, self._now + HOLD))
            yield from self._cancel(order, ticket)

    def open_orders(self, ticket: Ticket, count: int, expires_at: datetime) -> Iterator[Event]:
        """So many orders of one unit that nobody pays, all with one deadline; two events each."""
        for _ in range(count):
            yield from self._decided(ticket, self._place(ticket, 1, expires_at))

    # What buyers do -----------------------------------------------------------------------------------------------

    def _one_more(
        self, ticket: Ticket, in_hand: deque[tuple[Order, Ticket]], left: deque[tuple[Order, Ticket]]
    ) -> Iterator[Event]:
        """The next order, and what it is time for with those before."""
        order = self._place(ticket, self._random.randint(1, 4), self._now + HOLD)
        yield from self._decided(ticket, order)
        in_hand.append((order, ticket))
        if len(in_hand) > PAYING_AT_ONCE:
            earlier, of_ticket = in_hand.popleft()
            what = self._random.random()
            if what < PAID:
                yield from self._pay(earlier, of_ticket)
            elif what < PAID + CANCELLED:
                yield from self._cancel(earlier, of_ticket)
            else:
                left.append((earlier, of_ticket))
        if left and left[0][0].expires_at <= self._now:
            yield from self._expire(*left.popleft())

    def _place(self, ticket: Ticket, quantity: int, expires_at: datetime) -> Order:
        self._now += PACE
        buyer = self._random.choice(self.buyers)
        stamp = self._stamp(buyer)
        item = Item(ticket.id, ticket.seller_id, ticket.listing.title, quantity, ticket.listing.price)
        order = Order.place(new_id(), buyer, (item,), expires_at, stamp)
        ticket.reserve(order.id, quantity, expires_at, stamp, buyer)
        return order

    def _pay(self, order: Order, ticket: Ticket) -> Iterator[Event]:
        self._charges += 1
        intent, charge = f"pi_{self._charges:024d}", f"ch_{self._charges:024d}"
        order.await_payment(intent, self._stamp(order.buyer_id))
        if self._random.random() < DECLINED_FIRST:
            failure = ChargeFailure(intent, "card_declined", "generic_decline", f"{charge}_declined")
            order.note_failure(failure, self._stamp(order.buyer_id))
        yield from self._decided(order)
        stamp = self._stamp(order.buyer_id)
        money = Charge(intent, charge, order.total)
        order.take_charge(money, stamp, terms=Terms(), payout_at=None, refund_reason=None)
        ticket.sell(order.id, order.items[0].quantity, stamp)
        yield from self._decided(order, ticket)

    def _cancel(self, order: Order, ticket: Ticket) -> Iterator[Event]:
        stamp = self._stamp(order.buyer_id)
        order.cancel(stamp)
        ticket.release(order.id, "cancelled", stamp)
        yield from self._decided(order, ticket)

    def _expire(self, order: Order, ticket: Ticket) -> Iterator[Event]:
        stamp = self._stamp(None)
        assert order.expire(stamp)
        ticket.release(order.id, "expired", stamp)
        yield from self._decided(order, ticket)

    def _stamp(self, actor: UUID | None) -> Stamp:
        return Stamp(self._now, Cause(actor, new_id(), new_id()))

    def _decided(self, *aggregates: Aggregate) -> Iterator[Event]:
        for aggregate in aggregates:
            yield from aggregate.collect_events()
            if aggregate.version - aggregate.snapshot_version >= aggregate.snapshot_interval():
                self.snapshots.append(encode_snapshot(aggregate))
                aggregate.snapshot_version = aggregate.version


def long_ago(orders: int) -> datetime:
    """When a past of so many orders began, to end about now."""
    return datetime.now(UTC) - orders * PACE - HOLD


def roomy_listing(number: int = 0) -> Listing:
    """One that does not sell out."""
    return listing(number, quantity=MAX_QUANTITY)


def write(database_url: str, past: Past, events: Iterable[Event]) -> int:
    """Appends the events and the snapshots in one transaction; returns how many events there were.

    Afterwards the tables are vacuumed and analysed and a checkpoint is made, as autovacuum and the checkpointer would
    have done while those events were lived.
    """
    to_stored_event = EventMapper().to_stored_event
    count = 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (APPEND_LOCK,))
            with connection.cursor().copy(_COPY_EVENTS) as copy:
                copy.set_types(_TYPES)
                for count, event in enumerate(events, 1):  # noqa: B007 - told when it is over
                    row = to_stored_event(event)
                    place = event.originator_id, event.originator_version
                    chain = link(past.chains.get(event.originator_id, START), *place, row.topic, row.state)
                    copy.write_row((*place, row.topic, row.state, chain))
                    past.chains[event.originator_id] = chain
            with connection.cursor().copy(_COPY_SNAPSHOTS) as copy:
                copy.set_types(_TYPES[:4])
                for row in past.snapshots:
                    copy.write_row((row.originator_id, row.originator_version, row.topic, row.state))
            connection.execute(f"NOTIFY {CHANNEL}")
        past.snapshots.clear()
        connection.execute("VACUUM (ANALYZE) stored_events, stored_snapshots")
        connection.execute("CHECKPOINT")
    return count

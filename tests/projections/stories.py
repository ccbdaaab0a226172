"""Random but lawful histories of a marketplace, and the log they make: what projections are tried on.

A story tells the aggregates what `domain/marketplace.py` would tell them, so that its events are such as the log has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import psycopg

from adapters.event_codec import EventMapper
from domain import order_payouts, order_refunds
from domain.aggregate import Aggregate, Cause, Event, Stamp
from domain.listing import EventDetails, Listing
from domain.money import Money
from domain.order import INTENT_CANCELED, Charge, ChargeFailure, Item, Order, Settlement
from domain.order_disputes import DisputeWord, note_dispute
from domain.order_refunds import RefundMade
from domain.payouts import Dispute, Refund, Reversal, Terms, Transfer
from domain.published import PublishedEvent, publish
from domain.ticket import Ticket
from domain.user import PayoutAccount, User
from projections.models import MODELS
from projections.projection import Columns, Projection, fold

START = datetime(2100, 1, 1, tzinfo=UTC)
"""Far ahead, so that no deadline of a story falls due while its events are projected."""
VENUES = ("AT&T Stadium", "Estadio Azteca", "Müngersdorfer Stadion", "O'Reilly's \\ Hall")


class Story:
    """A marketplace in memory that things happen to. The same seed tells the same story."""

    def __init__(
        self, seed: int, *, listings: int = 3, prices: tuple[int, ...] = (0, 2500, 9900), after_payment: bool = True
    ) -> None:
        """`after_payment`: whether anything happens to the money of what was bought."""
        self.random = Random(seed)
        self.now = START
        self._prices = prices
        self._after_payment = after_payment
        self.events: list[Event] = []
        """The log so far, in order."""
        self.users: list[User] = []
        self.tickets: list[Ticket] = []
        self.orders: list[Order] = []
        self._log_positions: list[int] = []
        for _ in range(2):
            self.user_signs_up()
        for _ in range(listings):
            self.seller_offers()

    def tell(self, steps: int) -> Story:
        """So many more things happen."""
        happenings = (
            (self.buyer_orders, 10),
            (self.buyer_pays, 8),
            (self.order_expires, 4),
            (self.buyer_cancels, 4),
            (self.late_money_comes, 3),
            (self.money_moves, 3),
            (self.refund_fails, 0.5),
            (self.stripe_tells_its_fee, 4),
            (self.seller_refunds, 2 * self._after_payment),
            (self.seller_is_paid, 4 * self._after_payment),
            (self.bank_asks_money_back, 0.5 * self._after_payment),
            (self.intent_is_closed, 1),
            (self.card_is_declined, 2),
            (self.seller_edits, 1),
            (self.seller_withdraws, 0.2),
            (self.seller_offers, 0.5),
            (self.user_signs_up, 0.5),
            (self.user_changes, 0.5),
        )
        for happening in self.random.choices(*zip(*happenings, strict=True), k=steps):
            happening()
        return self

    def published(self, since: int = 0) -> list[PublishedEvent]:
        """The log as others see it, from the event with index `since` on. Positions have gaps, as real ones."""
        while len(self._log_positions) < len(self.events):
            last = self._log_positions[-1] if self._log_positions else 0
            self._log_positions.append(last + self.random.choice((1, 1, 1, 4)))
        pairs = zip(self.events[since:], self._log_positions[since:], strict=True)
        return [publish(event, position) for event, position in pairs]

    # Things that happen -------------------------------------------------------------------------------------------

    def user_signs_up(self) -> None:
        self.users.append(User.sign_up(self._id(), self._stamp()))
        self._take(self.users[-1])

    def user_changes(self) -> None:
        user = self.random.choice(self.users)
        if not user.erased:
            change = self.random.choice(("note", "appoint", "account", "erase"))
            if change == "note":
                user.note_changes(("name",), self._stamp())
            elif change == "appoint":
                user.appoint(not user.admin, self._stamp())
            elif change == "account":
                user.open_account(f"acct_{user.id}", self._stamp())
                account = PayoutAccount(f"acct_{user.id}", transfers_enabled=self.random.random() < 0.5)
                user.note_account(account, self._stamp())
            elif len(self.users) > 3:
                user.erase(self._stamp())
            self._take(user)

    def seller_offers(self) -> None:
        ticket = Ticket.offer(self._id(), self.users[0].id, self._listing(), self._stamp())
        self.tickets.append(ticket)
        self._take(ticket)

    def seller_edits(self) -> None:
        ticket = self.random.choice(self.tickets)
        if not ticket.held and not ticket.withdrawn:
            offer = self._listing(at_least=ticket.sold + 1)
            ticket.edit(offer, ticket.seller_id, self._stamp())
            self._take(ticket)

    def seller_withdraws(self) -> None:
        ticket = self.random.choice(self.tickets)
        if not ticket.held and len(self.tickets) > 3:
            ticket.withdraw(ticket.seller_id, self._stamp())
            self._take(ticket)

    def buyer_orders(self) -> None:
        wanted = self.random.sample(self.tickets, k=min(len(self.tickets), self.random.choice((1, 1, 1, 2))))
        quantity = self.random.choice((1, 1, 2, 4))
        stamp = self._stamp()
        currencies = {ticket.listing.price.currency for ticket in wanted}
        if len(currencies) > 1 or any(ticket.withdrawn or ticket.available < quantity for ticket in wanted):
            return
        items = tuple(
            Item(ticket.id, ticket.seller_id, ticket.listing.title, quantity, ticket.listing.price) for ticket in wanted
        )
        order = Order.place(self._id(), self.users[1].id, items, stamp.at + timedelta(minutes=15), stamp)
        for ticket in wanted:
            ticket.reserve(order.id, quantity, order.expires_at, stamp)
            if not order.is_open:
                ticket.sell(order.id, quantity, stamp)
        self.orders.append(order)
        self._take(order, *wanted)

    def buyer_pays(self) -> None:
        if (order := self._some_order(self._can_be_paid)) is not None:
            self._await_payment(order)
            self._money_comes(order)

    def card_is_declined(self) -> None:
        if (order := self._some_order(self._can_be_paid)) is not None:
            intent_id = self._await_payment(order)
            failure = ChargeFailure(intent_id, "card_declined", "generic_decline", f"ch_{self._id()}")
            order.note_failure(failure, self._stamp())
            self._take(order)

    def buyer_cancels(self) -> None:
        if (order := self._some_order(lambda order: order.is_open)) is not None:
            self._maybe_await_payment(order)
            order.cancel(self._stamp())
            self._take(order, *self._release(order, "cancelled"))

    def order_expires(self) -> None:
        if (order := self._some_order(lambda order: order.is_open)) is not None:
            self._maybe_await_payment(order)
            self.now = max(self.now, order.expires_at)
            order.expire(self._stamp())
            self._take(order, *self._release(order, "expired"))

    def late_money_comes(self) -> None:
        if (order := self._some_order(lambda order: order.intent_open and not order.is_open)) is not None:
            self._money_comes(order)

    def intent_is_closed(self) -> None:
        if (order := self._some_order(lambda order: order.intent_open and not order.is_open)) is not None:
            assert order.payment_intent_id is not None
            order.note_failure(ChargeFailure(order.payment_intent_id, INTENT_CANCELED), self._stamp())
            self._take(order)

    def money_moves(self) -> None:
        if (order := self._some_order(lambda order: bool(order.due_moves()))) is not None:
            match self.random.choice(order.due_moves()):
                case Refund(number, charge_id, money):
                    made = RefundMade(f"re_{self._id()}", charge_id, money, number)
                    order_refunds.note_refund(order, made, self._stamp())
                case Transfer(number):
                    order_payouts.note_transfer(order, number, f"tr_{self._id()}", self._stamp())
                case Reversal(number):
                    order_payouts.note_reversal(order, number, f"trr_{self._id()}", self._stamp())
            self._take(order)

    def refund_fails(self) -> None:
        if (order := self._some_order(lambda order: order.refund_id is not None)) is not None:
            assert order.refund_id is not None
            order_refunds.note_refund_failure(order, order.refund_id, self._stamp())
            self._take(order)

    def stripe_tells_its_fee(self) -> None:
        if (order := self._some_order(lambda order: order.charge_id is not None)) is not None:
            assert order.charge_id is not None
            fee = Money(order.total.amount // 50, order.total.currency)
            net = Money(order.total.amount - fee.amount, order.total.currency)
            order.note_settlement(order.charge_id, Settlement(f"txn_{self._id()}", fee, net), self._stamp())
            self._take(order)

    def seller_refunds(self) -> None:
        """Some units or all."""
        if (order := self._some_order(lambda order: order.status == "completed" and not order.is_disputed)) is not None:
            kept = order_refunds.refundable(order)
            wanted = {ticket_id: self.random.randint(1, units) for ticket_id, units in kept.items()}
            stamp = self._stamp()
            order_refunds.refund(order, wanted, "seller", stamp)
            tickets = [self._ticket(ticket_id) for ticket_id in wanted]
            for ticket in tickets:
                ticket.take_back(order.id, wanted[ticket.id], stamp, resell=self.random.random() < 0.8)
            self._take(order, *tickets)

    def seller_is_paid(self) -> None:
        if (order := self._some_order(lambda order: order.payout_at is not None and not order.is_disputed)) is not None:
            self.now = max(self.now, order.payout_at or self.now)
            order_payouts.release(order, {self.users[0].id: "acct_1"}, self._stamp())
            self._take(order)

    def bank_asks_money_back(self) -> None:
        """Or tells what came of it."""
        if (order := self._some_order(lambda order: order.status == "completed" and order.money_left > 0)) is not None:
            assert order.charge_id is not None
            known = next((dispute for dispute in order.disputes if dispute.is_open), None)
            if known is None:
                money = Money(order.money_left, order.total.currency)
                known = Dispute(f"dp_{self._id()}", order.charge_id, money, "fraudulent", "needs_response")
            status = self.random.choice(("needs_response", "under_review", "won", "lost"))
            fee = Money(1500, order.total.currency)
            told = DisputeWord(replace(known, status=status), fee, reinstated=status == "won")
            note_dispute(order, told, self._stamp())
            self._take(order)

    # Inside -------------------------------------------------------------------------------------------------------

    def _money_comes(self, order: Order) -> None:
        assert order.payment_intent_id is not None
        charge = Charge(order.payment_intent_id, f"ch_{self._id()}", order.total)
        stamp = self._stamp()
        held = [(self._ticket(item.ticket_id), item.quantity) for item in order.items]
        completes = order.takes_late_money() and all(
            ticket.may_sell(order.id, quantity, stamp.at) for ticket, quantity in held
        )
        terms = Terms(fee_bps=350, payouts="at_once")
        reason = None if completes else "sold_out"
        order.take_charge(charge, stamp, terms=terms, payout_at=stamp.at, refund_reason=reason)
        for ticket, quantity in held:
            if completes:
                ticket.sell(order.id, quantity, stamp)
            else:
                ticket.release(order.id, "expired", stamp)
        self._take(order, *(ticket for ticket, _ in held))

    def _can_be_paid(self, order: Order) -> bool:
        in_time = self.now + timedelta(minutes=1) < order.expires_at
        return order.is_open and (order.payment_intent_id is not None or in_time)

    def _maybe_await_payment(self, order: Order) -> None:
        if self._can_be_paid(order) and self.random.random() < 0.7:
            self._await_payment(order)

    def _await_payment(self, order: Order) -> str:
        if order.payment_intent_id is None:
            order.await_payment(f"pi_{order.id}", self._stamp())
            self._take(order)
        assert order.payment_intent_id is not None
        return order.payment_intent_id

    def _release(self, order: Order, reason: str) -> list[Ticket]:
        tickets = [self._ticket(item.ticket_id) for item in order.items]
        for ticket in tickets:
            ticket.release(order.id, reason, self._stamp())
        return tickets

    def _some_order(self, fits: Callable[[Order], bool]) -> Order | None:
        found = [order for order in self.orders[-200:] if fits(order)]
        return self.random.choice(found) if found else None

    def _ticket(self, ticket_id: UUID) -> Ticket:
        return next(ticket for ticket in self.tickets if ticket.id == ticket_id)

    def _listing(self, at_least: int = 1) -> Listing:
        pick = self.random.choice
        event = EventDetails(
            pick(("Semi-final", "Final", "Café del Mar")),
            START + timedelta(days=self.random.randrange(1, 300)),
            pick(VENUES),
            pick(("FIFA", None)),
            pick(("football", "concert", None)),
        )
        quantity = max(at_least, self.random.randrange(5, 200))
        price = Money(pick(self._prices), pick(("EUR", "EUR", "USD")))
        return Listing(f"{event.name}, category {self.random.randrange(9)}", event, price, quantity, pick((None, "…")))

    def _stamp(self) -> Stamp:
        self.now += timedelta(milliseconds=self.random.randrange(1, 2_000))
        return Stamp(self.now, Cause(None, self._id(), self._id()))

    def _id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def _take(self, *aggregates: Aggregate) -> None:
        for aggregate in aggregates:
            self.events.extend(aggregate.collect_events())


def append(database_url: str, events: Sequence[Event]) -> list[int]:
    """Appends events to the store's log as `adapters.event_store` would; returns their positions."""
    mapper = EventMapper()
    stored = [mapper.to_stored_event(event) for event in events]
    with psycopg.connect(database_url, autocommit=True) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (0x5D00_0001,))
        cursor = connection.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
            " SELECT id, version, topic, state FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[])"
            " WITH ORDINALITY AS e(id, version, topic, state, place) ORDER BY place RETURNING notification_id",
            (
                [row.originator_id for row in stored],
                [row.originator_version for row in stored],
                [row.topic for row in stored],
                [row.state for row in stored],
            ),
        )
        connection.execute("NOTIFY stored_events")
        return [row[0] for row in cursor]


def expected_rows(projection: Projection, events: Iterable[PublishedEvent]) -> dict[UUID, tuple[int, Columns]]:
    """What the read model has to show: version and columns of each row."""
    runs: dict[UUID, list[PublishedEvent]] = {}
    for event in events:
        if event.topic == projection.topic:
            runs.setdefault(event.subject, []).append(event)
    changes = [fold(projection, 0, run) for run in runs.values()]
    return {change.id: (change.version, change.columns) for change in changes if change is not None}


def stored_rows(database_url: str, projection: Projection) -> dict[UUID, tuple[int, Columns]]:
    """What the read model shows."""
    names = [f"{name}::text" if kind == "json" else name for name, kind in projection.columns.items()]
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(f"SELECT id, version, {', '.join(names)} FROM {projection.model}".encode())
        return {row[0]: (row[1], dict(zip(projection.columns, row[2:], strict=True))) for row in rows}


def assert_rows_are_the_fold(database_url: str, events: Sequence[PublishedEvent]) -> None:
    """Every read model shows exactly what the events make of it."""
    for projection in MODELS.values():
        assert stored_rows(database_url, projection) == expected_rows(projection, events), projection.model

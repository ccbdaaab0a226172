"""A history whose every id and time is known beforehand, so that a test can say exactly what is to be read of it.

It tells the aggregates what `domain/marketplace.py` would tell them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count
from uuid import UUID

from domain.aggregate import Aggregate, Cause, Event, Stamp
from domain.money import Money
from domain.order import Charge, Item, Order
from domain.payouts import Terms
from domain.ticket import Ticket
from domain.user import User
from tests.domain.scenes import NOON, SELLER, listing

HOLD = timedelta(minutes=15)


class History:
    """Things that happen some minutes after noon, in the order in which they are told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._tickets: dict[UUID, Ticket] = {}
        self._commands = count(1)

    def signs_up(self, user_id: UUID, minutes: float) -> User:
        user = User.sign_up(user_id, self.stamp(minutes, user_id))
        self.take(user)
        return user

    def listed(
        self,
        minutes: float,
        *,
        number: int = 1,
        quantity: int = 5,
        amount: int = 2500,
        currency: str = "EUR",
        title: str = "Floor",
    ) -> Ticket:
        """A listing with the id `number` + 100."""
        offered = replace(listing(title=title, quantity=quantity), price=Money(amount, currency))
        ticket = Ticket.offer(UUID(int=100 + number), SELLER, offered, self.stamp(minutes, SELLER))
        self._tickets[ticket.id] = ticket
        self.take(ticket)
        return ticket

    def ordered(self, minutes: float, number: int, buyer: UUID, *wanted: tuple[Ticket, int]) -> Order:
        """An order with the id `number` + 200; one that costs nothing is sold at once."""
        stamp = self.stamp(minutes, buyer)
        items = tuple(Item(t.id, t.seller_id, t.listing.title, quantity, t.listing.price) for t, quantity in wanted)
        order = Order.place(UUID(int=200 + number), buyer, items, stamp.at + HOLD, stamp)
        for ticket, quantity in wanted:
            ticket.reserve(order.id, quantity, order.expires_at, stamp)
            if not order.is_open:
                ticket.sell(order.id, quantity, stamp)
        self.take(*(ticket for ticket, _ in wanted), order)
        return order

    def awaits_payment(self, order: Order, minutes: float) -> None:
        order.await_payment(f"pi_{order.id.int}", self.stamp(minutes, order.buyer_id))
        self.take(order)

    def paid(self, order: Order, minutes: float) -> None:
        """Money comes by Stripe's webhook: nobody's doing."""
        stamp = self.stamp(minutes)
        tickets = [(self._tickets[item.ticket_id], item.quantity) for item in order.items]
        completes = order.takes_late_money() and all(t.may_sell(order.id, units, stamp.at) for t, units in tickets)
        charge = Charge(f"pi_{order.id.int}", f"ch_{order.id.int}", order.total)
        reason = None if completes else "sold_out"
        order.take_charge(charge, stamp, terms=Terms(), payout_at=None, refund_reason=reason)
        for ticket, quantity in tickets:
            if completes:
                ticket.sell(order.id, quantity, stamp)
            else:
                ticket.release(order.id, "expired", stamp)
        self.take(order, *(ticket for ticket, _ in tickets))

    def cancelled(self, order: Order, minutes: float) -> None:
        stamp = self.stamp(minutes, order.buyer_id)
        order.cancel(stamp)
        self._release(order, "cancelled", stamp)

    def expired(self, order: Order, minutes: float) -> None:
        stamp = self.stamp(minutes)
        assert order.expire(stamp)
        self._release(order, "expired", stamp)

    def returned(self, order: Order, minutes: float, quantity: int) -> None:
        """So many units of the order's first listing come back by a refund."""
        ticket = self._tickets[order.items[0].ticket_id]
        ticket.take_back(order.id, quantity, self.stamp(minutes), resell=True)
        self.take(ticket)

    def take(self, *aggregates: Aggregate) -> None:
        """What the aggregates decided goes to the end of the log."""
        for aggregate in aggregates:
            self.events.extend(aggregate.collect_events())

    def _release(self, order: Order, reason: str, stamp: Stamp) -> None:
        tickets = [self._tickets[item.ticket_id] for item in order.items]
        for ticket in tickets:
            ticket.release(order.id, reason, stamp)
        self.take(order, *tickets)

    def stamp(self, minutes: float, actor: UUID | None = None) -> Stamp:
        """The next command: its causation id is its number + 1000, the correlation id + 2000."""
        command = next(self._commands)
        cause = Cause(actor, UUID(int=1_000 + command), UUID(int=2_000 + command))
        return Stamp(NOON + timedelta(minutes=minutes), cause)

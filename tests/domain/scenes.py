"""Given/when/then for aggregates: values with sensible defaults, so that a test says only what it is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from domain.aggregate import Aggregate, Cause, Stamp
from domain.listing import EventDetails, Listing
from domain.money import Money
from domain.order import Charge, Item, Order
from domain.payouts import Terms
from domain.ticket import Ticket

NOON = datetime(2026, 6, 11, 12, 0, tzinfo=UTC)
DEADLINE = NOON + timedelta(minutes=15)
LATER = DEADLINE + timedelta(seconds=1)
SELLER, BUYER, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
INTENT = "pi_1"


def at(moment: datetime = NOON, actor: UUID | None = None) -> Stamp:
    return Stamp(moment, Cause(actor, uuid4(), uuid4()))


def listing(
    *, title: str = "Semi-final, category 2", quantity: int = 5, amount: int = 2500, hold_seconds: int | None = None
) -> Listing:
    event = EventDetails("Semi-final", NOON + timedelta(days=30), "AT&T Stadium", "FIFA", "football")
    return Listing(title, event, Money(amount, "EUR"), quantity, None, hold_seconds)


def ticket(**more: int) -> Ticket:
    """Given a listing of SELLER's, five units unless said otherwise."""
    made = Ticket.offer(uuid4(), SELLER, listing(**more), at())  # type: ignore[arg-type]
    made.collect_events()
    return made


def order(*, quantity: int = 2, amount: int = 2500) -> Order:
    """Given an open order of BUYER's with a deadline at DEADLINE."""
    items = (Item(uuid4(), SELLER, "Semi-final", quantity, Money(amount, "EUR")),)
    made = Order.place(uuid4(), BUYER, items, DEADLINE, at())
    made.collect_events()
    return made


def awaiting(**more: int) -> Order:
    """Given an order that waits for INTENT."""
    made = order(**more)
    made.await_payment(INTENT, at())
    made.collect_events()
    return made


def charge(of: Order, charge_id: str = "ch_1") -> Charge:
    return Charge(INTENT, charge_id, of.total)


def pays(of: Order, moment: datetime = NOON, *, terms: Terms | None = None, payout_at: datetime | None = None) -> None:
    """When its money comes and completes it."""
    terms = terms or Terms()
    of.take_charge(charge(of), at(moment), terms=terms, payout_at=payout_at, refund_reason=None)


def pays_in_vain(of: Order, reason: str = "sold_out", moment: datetime = LATER) -> None:
    """When its money comes and can complete it no more."""
    of.take_charge(charge(of), at(moment), terms=Terms(), payout_at=None, refund_reason=reason)


def then(aggregate: Aggregate) -> list[str]:
    """The names of the events decided since the last look."""
    return [type(event).__name__ for event in aggregate.collect_events()]


def counts(of: Ticket) -> tuple[int, int, int]:
    """available, held, sold"""
    return of.available, of.held, of.sold

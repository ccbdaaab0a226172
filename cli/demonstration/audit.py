"""Does everything add up? Three accounts of one run are compared: answers, orders, listings. Pure.

What the buyers were answered (`Tally`), what their orders say (`OrderBook`), and what the listings say (`Shelf`) come
from different requests. A ticket sold twice, lost or counted twice makes two of them differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cli.contract import Order
from cli.demonstration.catalogue import Catalogue, Listing, Shelf
from cli.demonstration.tally import Sales, Tally

OPEN = ("created", "awaiting_payment")


@dataclass
class OrderBook:
    """The orders of one or more buyers, by their final status."""

    statuses: Counter[str] = field(default_factory=Counter)
    completed: Sales = field(default_factory=Sales)
    refunded: Sales = field(default_factory=Sales)

    @property
    def open(self) -> int:
        return sum(self.statuses[status] for status in OPEN)

    def add(self, order: Order) -> None:
        """Counts one order."""
        self.statuses[order.status] += 1
        if order.status == "completed":
            self.completed.add(order)
        elif order.status == "refunded":
            self.refunded.add(order)

    @classmethod
    def of(cls, books: Iterable[OrderBook]) -> OrderBook:
        """All of them together."""
        whole = cls()
        for book in books:
            whole.statuses.update(book.statuses)
            whole.completed.include(book.completed)
            whole.refunded.include(book.refunded)
        return whole


@dataclass(frozen=True)
class Evidence:
    """What the marketplace said after the run. `all_due`: every hold's deadline had passed when it was asked."""

    orders: OrderBook
    shelves: Mapping[str, Shelf]
    all_due: bool


def differences(catalogue: Catalogue, tally: Tally, evidence: Evidence) -> list[str]:
    """Everything that does not add up, one line each; empty when all is well."""
    return [
        *(line for listing in catalogue.all for line in _listing_differences(listing, tally, evidence)),
        *_order_differences(tally, evidence),
    ]


def _listing_differences(listing: Listing, tally: Tally, evidence: Evidence) -> Iterator[str]:
    shelf = evidence.shelves.get(listing.id)
    if shelf is None:
        yield f"{listing.title}: the seller's list does not have it"
        return
    parts = f"sold {shelf.sold:,} + held {shelf.held:,} + available {shelf.available:,}"
    seats = shelf.sold + shelf.held + shelf.available
    if seats != listing.capacity or shelf.quantity != listing.capacity:
        yield f"{listing.title}: {parts} = {seats:,}, quantity {shelf.quantity:,}, capacity {listing.capacity:,}"
    if min(shelf.sold, shelf.held, shelf.available) < 0:
        yield f"{listing.title}: {parts}: less than none"
    completed = evidence.orders.completed.tickets[listing.id]
    sold = shelf.sold - listing.before.sold
    if sold != completed:
        yield f"{listing.title}: the listing sold {sold:,} in this run, its buyers' completed orders hold {completed:,}"
    found = completed + evidence.orders.refunded.tickets[listing.id]
    yield from _between(
        f"{listing.title}: tickets paid for",
        tally.paid.tickets[listing.id],
        tally.maybe_paid.tickets[listing.id],
        found,
    )


def _order_differences(tally: Tally, evidence: Evidence) -> Iterator[str]:
    orders = evidence.orders
    yield from _between("orders made", tally.ordered, tally.maybe_ordered, orders.statuses.total())
    paid, maybe = tally.paid, tally.maybe_paid
    yield from _between("orders paid", paid.orders, maybe.orders, orders.completed.orders + orders.refunded.orders)
    yield from _between("money taken", paid.amount, maybe.amount, orders.completed.amount + orders.refunded.amount)
    cancelled = orders.statuses["cancelled"]
    if cancelled < tally.cancelled:
        yield f"orders cancelled: {tally.cancelled:,} by the answers, {cancelled:,} in the buyers' lists"
    if evidence.all_due and orders.open:
        yield f"{orders.open:,} orders are still open although their holds have ended"


def _between(what: str, answered: int, unknown: int, found: int) -> Iterator[str]:
    """Nothing answered may be missing, and nothing may be there that no request can have made."""
    if not answered <= found <= answered + unknown:
        more = f" (and {unknown:,} without an answer)" if unknown else ""
        yield f"{what}: {answered:,} by the answers{more}, {found:,} in the buyers' lists"

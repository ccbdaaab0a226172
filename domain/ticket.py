"""The rules of a listing: what is available, who holds units until when, when it may be edited.

The state is O(open holds): a unit that was sold is a number, not a record. A hold carries its own deadline, so that a
hold past it blocks nobody even while every timer is down: whoever needs its units takes them (`TicketReleased` with
reason `lapsed`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import Any, ClassVar
from uuid import UUID

from domain.aggregate import Aggregate, CreatedEvent, Event, Stamp, begin, pinned
from domain.errors import Invalid, NotOwner, SoldOut, TicketLocked, TicketWithdrawn, TooManyHeld
from domain.listing import Listing

_FIRST_REFUND_TERMS = {"refund_until": None, "refund_fee": 0, "resell_returned": True}
"""Of listings that were made before they could have any."""

CLOCK_JITTER = timedelta(seconds=1)
"""What one process takes for the store's clock may be off by so much, and so go back by it (docs/decisions/0019)."""

MANY_GONE = 100
"""The deadline of a hold that is gone stays where it is until there are so many of them, and more than of others."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Units an unpaid order keeps from others until `expires_at`."""

    quantity: int
    expires_at: datetime
    buyer_id: UUID | None = None
    """Whom the cap on held units counts it for; None: nobody, in what was stored before there was a cap."""


@dataclass(kw_only=True, eq=False)
class Ticket(Aggregate):
    """One listing. Invariant after every event: available + held + sold = listing.quantity, none negative."""

    seller_id: UUID
    listing: Listing
    withdrawn: bool = False
    held: int = 0
    """Units in `holds`, past their deadline or not, until somebody takes them back."""
    sold: int = 0
    holds: dict[UUID, Hold] = field(default_factory=dict)
    """Open holds by order id."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # Derived, so not part of a snapshot: the holds seen past their deadlines, oldest first, the deadlines of the
        # others by age, and the time now as last seen. With them a refusal on a hot listing costs O(1).
        self.lapsed: OrderedDict[UUID, int] = OrderedDict()
        self.deadlines: list[tuple[datetime, UUID]] = []
        self._arrange_deadlines()
        self.lapsed_units = 0
        self.seen_at = datetime.min.replace(tzinfo=UTC) + CLOCK_JITTER
        # Derived, too: each buyer's units in holds that are not seen past their deadline, so that a cap costs O(1).
        self.held_by: dict[UUID, int] = {}
        for hold in self.holds.values():
            self._count(hold, hold.quantity)

    def snapshot_interval(self) -> int:
        """Grows with the state, so that snapshots cost each event O(1); a part of it, or holds that only open, an event
        each, would never come to a second snapshot."""
        return max(super().snapshot_interval(), len(self.holds) // 4)

    # What it knows ------------------------------------------------------------------------------------------------

    @property
    def available(self) -> int:
        return self.listing.quantity - self.held - self.sold

    @property
    def status(self) -> str:
        """`open`, `sold_out` (nothing left to order right now) or `withdrawn`."""
        if self.withdrawn:
            return "withdrawn"
        return "open" if self.available > 0 else "sold_out"

    def may_sell(self, order_id: UUID, quantity: int, now: datetime) -> bool:
        """Whether `sell` would find the units: held for this order, or free."""
        hold = self.holds.get(order_id)
        if hold is not None:
            return hold.quantity == quantity
        return not self.withdrawn and self._could_free(quantity, now)

    # What it is told ----------------------------------------------------------------------------------------------

    @classmethod
    def offer(cls, ticket_id: UUID, seller_id: UUID, listing: Listing, stamp: Stamp) -> Ticket:
        """Lists tickets for sale.

        Raises:
            Invalid: a field has a value no listing may have.
        """
        listing.check()
        ticket: Ticket = begin(
            cls.Created(
                originator_id=ticket_id,
                originator_version=1,
                timestamp=stamp.at,
                cause=stamp.cause,
                seller_id=seller_id,
                listing=listing,
            )
        )
        return ticket

    def edit(self, listing: Listing, by: UUID, stamp: Stamp) -> None:
        """Replaces what is offered; the same offer again changes nothing.

        Raises:
            NotOwner, TicketWithdrawn, Invalid;
            TicketLocked: somebody is paying for a unit.
        """
        self.check_owner(by)
        if self.withdrawn:
            raise TicketWithdrawn("the listing was withdrawn")
        self._check_not_locked(stamp.at)
        listing.check()
        if listing.quantity < self.sold:
            raise Invalid("quantity", f"{self.sold} are sold already")
        if listing != self.listing:
            self._release_lapsed(self.held, stamp)
            self.trigger(
                self.Updated,
                stamp,
                listing=listing,
                available=listing.quantity - self.held - self.sold,
                held=self.held,
                sold=self.sold,
            )

    def withdraw(self, by: UUID, stamp: Stamp) -> None:
        """Takes the listing off the market for good; what is sold stays sold. Twice is once.

        Raises:
            NotOwner; TicketLocked: somebody is paying for a unit.
        """
        self.check_owner(by)
        if not self.withdrawn:
            self._check_not_locked(stamp.at)
            self._release_lapsed(self.held, stamp)
            self.trigger(self.Withdrawn, stamp)

    def check_owner(self, by: UUID) -> None:
        """Raises `NotOwner` when it is somebody else's."""
        if by != self.seller_id:
            raise NotOwner("only its seller changes a listing")

    def check_may_reserve(self, quantity: int, now: datetime) -> None:
        """Raises `SoldOut` when `reserve` could not find so many units."""
        if self.withdrawn:
            raise SoldOut("the listing was withdrawn")
        if not self._could_free(quantity, now):
            raise SoldOut(f"{self.available} available")

    def check_may_hold(self, buyer_id: UUID, quantity: int, most: int, now: datetime) -> None:
        """Raises `TooManyHeld` when with so many units more a buyer would hold more than `most` unpaid at a time."""
        if self.held_by.get(buyer_id, 0) + quantity <= most:
            return
        self._lapsed_units(now, self.held)
        held = self.held_by.get(buyer_id, 0)
        if held + quantity > most:
            raise TooManyHeld(f"{held} are held for you unpaid; at most {most} may be")

    def reserve(
        self, order_id: UUID, quantity: int, expires_at: datetime, stamp: Stamp, buyer_id: UUID | None = None
    ) -> None:
        """Holds units for an order until its deadline; call `check_may_reserve` for all its tickets first.

        Args:
            buyer_id: whom they are counted for until then; None: nobody.

        Raises:
            SoldOut: there are not so many units free.
        """
        assert quantity > 0
        assert order_id not in self.holds, "an order holds a listing once"
        self.check_may_reserve(quantity, stamp.at)
        self._release_lapsed(quantity - self.available, stamp)
        self.trigger(
            self.Reserved,
            stamp,
            order_id=order_id,
            quantity=quantity,
            expires_at=expires_at,
            available=self.available - quantity,
            held=self.held + quantity,
            sold=self.sold,
            buyer_id=buyer_id,
        )

    def release(self, order_id: UUID, reason: str, stamp: Stamp) -> None:
        """Gives an order's units back; an order that holds none (any more) changes nothing."""
        hold = self.holds.get(order_id)
        if hold is None:
            return
        self.trigger(
            self.Released,
            stamp,
            order_id=order_id,
            quantity=hold.quantity,
            reason=reason,
            available=self.available + hold.quantity,
            held=self.held - hold.quantity,
            sold=self.sold,
        )

    def sell(self, order_id: UUID, quantity: int, stamp: Stamp) -> None:
        """Makes the units the buyer's; call `may_sell` for all the order's tickets first.

        Late money finds no hold any more: then free units are taken, first held and then sold, so that every sale
        on the record comes out of a hold.
        """
        if order_id not in self.holds:
            self.reserve(order_id, quantity, stamp.at, stamp)
        assert self.holds[order_id].quantity == quantity
        self.trigger(
            self.Sold,
            stamp,
            order_id=order_id,
            quantity=quantity,
            available=self.available,
            held=self.held - quantity,
            sold=self.sold + quantity,
        )

    def take_back(self, order_id: UUID, quantity: int, stamp: Stamp, *, resell: bool) -> None:
        """Sold units are nobody's again: on sale, or taken off the listing for good."""
        assert 0 < quantity <= self.sold
        self.trigger(
            self.Returned,
            stamp,
            order_id=order_id,
            quantity=quantity,
            available=self.available + quantity,
            held=self.held,
            sold=self.sold - quantity,
        )
        if not resell:
            listing = replace(self.listing, quantity=self.listing.quantity - quantity)
            available = self.available - quantity
            self.trigger(self.Updated, stamp, listing=listing, available=available, held=self.held, sold=self.sold)

    # Inside -------------------------------------------------------------------------------------------------------

    def _check_not_locked(self, now: datetime) -> None:
        if self.held > self._lapsed_units(now, self.held):
            raise TicketLocked("somebody is paying for a ticket of this listing")

    def _could_free(self, quantity: int, now: datetime) -> bool:
        """Whether so many units are free, or would be with what is held past its deadline."""
        lacking = quantity - self.available
        return self._lapsed_units(now, lacking) >= lacking

    def _lapsed_units(self, now: datetime, enough: int) -> int:
        """Units held past their deadline; looks no further once there are enough, since very many may pass at once.

        A deadline that has passed stays passed, should the clock be set back.
        """
        if now < self.seen_at - CLOCK_JITTER:
            self._let_lapse(self.seen_at, self.held)
            self.seen_at = now
        self.seen_at = max(self.seen_at, now)
        self._let_lapse(now, enough)
        return self.lapsed_units

    def _let_lapse(self, now: datetime, enough: int) -> None:
        while self.lapsed_units < enough and self.deadlines and self.deadlines[0][0] <= now:
            order_id = heappop(self.deadlines)[1]
            hold = self.holds.get(order_id)
            if hold is not None and order_id not in self.lapsed:
                self.lapsed[order_id] = hold.quantity
                self.lapsed_units += hold.quantity
                self._count(hold, -hold.quantity)

    def _release_lapsed(self, units: int, stamp: Stamp) -> None:
        """Takes back holds past their deadline, the oldest first, until so many units are free or none is left."""
        self._lapsed_units(stamp.at, units)
        while units > 0 and self.lapsed:
            order_id = next(iter(self.lapsed))
            units -= self.lapsed[order_id]
            self.release(order_id, "lapsed", stamp)

    def _arrange_deadlines(self) -> None:
        self.deadlines = [(hold.expires_at, one) for one, hold in self.holds.items() if one not in self.lapsed]
        heapify(self.deadlines)

    def _close_hold(self, order_id: UUID) -> None:
        hold = self.holds.pop(order_id)
        self.held -= hold.quantity
        if order_id in self.lapsed:
            self.lapsed_units -= self.lapsed.pop(order_id)
        else:
            self._count(hold, -hold.quantity)
        if len(self.deadlines) > 2 * len(self.holds) + MANY_GONE:
            self._arrange_deadlines()

    def _count(self, hold: Hold, change: int) -> None:
        if hold.buyer_id is None:
            return
        units = self.held_by.get(hold.buyer_id, 0) + change
        if units:
            self.held_by[hold.buyer_id] = units
        else:
            del self.held_by[hold.buyer_id]

    # What happened ------------------------------------------------------------------------------------------------

    @pinned("stagedoor.Ticket.Created")
    class Created(CreatedEvent):
        class_version: ClassVar[int] = 2
        seller_id: UUID
        listing: Listing

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["listing"] |= _FIRST_REFUND_TERMS

        def create(self) -> Ticket:
            return Ticket(**self.base_fields(), seller_id=self.seller_id, listing=self.listing)

    @pinned("stagedoor.Ticket.Updated")
    class Updated(Event):
        class_version: ClassVar[int] = 2
        listing: Listing
        available: int
        held: int
        sold: int

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            state["listing"] |= _FIRST_REFUND_TERMS

        def apply(self, aggregate: Ticket) -> None:
            aggregate.listing = self.listing

    @pinned("stagedoor.Ticket.Withdrawn")
    class Withdrawn(Event):
        def apply(self, aggregate: Ticket) -> None:
            aggregate.withdrawn = True

    @pinned("stagedoor.Ticket.Reserved")
    class Reserved(Event):
        class_version: ClassVar[int] = 2
        order_id: UUID
        quantity: int
        expires_at: datetime
        available: int
        held: int
        sold: int
        buyer_id: UUID | None

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            # As the snapshots of that time have it, so that both tell the same state.
            state["buyer_id"] = None

        def apply(self, aggregate: Ticket) -> None:
            hold = aggregate.holds[self.order_id] = Hold(self.quantity, self.expires_at, self.buyer_id)
            aggregate.held += self.quantity
            aggregate._count(hold, self.quantity)
            heappush(aggregate.deadlines, (self.expires_at, self.order_id))

    @pinned("stagedoor.Ticket.Released")
    class Released(Event):
        order_id: UUID
        quantity: int
        reason: str
        available: int
        held: int
        sold: int

        def apply(self, aggregate: Ticket) -> None:
            aggregate._close_hold(self.order_id)

    @pinned("stagedoor.Ticket.Sold")
    class Sold(Event):
        order_id: UUID
        quantity: int
        available: int
        held: int
        sold: int

        def apply(self, aggregate: Ticket) -> None:
            aggregate._close_hold(self.order_id)
            aggregate.sold += self.quantity

    @pinned("stagedoor.Ticket.Returned")
    class Returned(Event):
        order_id: UUID
        quantity: int
        available: int
        held: int
        sold: int

        def apply(self, aggregate: Ticket) -> None:
            aggregate.sold -= self.quantity

"""The marketplace: one method per command. Each loads, decides, tells; every rule is an aggregate's own.

A method sends its decision to the actors (`domain/actors.py`) and returns what `ask.answer` makes of the outcome. The
answer is made at the moment of the decision, from the aggregate itself, so it is complete and current whatever state
the read models are in.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic
from uuid import UUID

from domain.actors import Actors
from domain.aggregate import Cause, Stamp, TAggregate
from domain.errors import Invalid, OrderNotFound, OwnTicket, TicketNotFound, UserNotFound, VersionMismatch
from domain.listing import Listing
from domain.order import MAX_ITEMS, MAX_QUANTITY_PER_ITEM, Charge, ChargeFailure, Item, Order, total_of
from domain.records import Account, AccountChange, AccountErased, EmailVerified, Letter, Session, SessionsEnded
from domain.ticket import Ticket
from domain.user import User
from domain.work import A, Once, R, Work


@dataclass(frozen=True, slots=True)
class Ask(Generic[A, R]):
    """A request: on whose word, what to make of the outcome, and whether it may have been asked before."""

    cause: Cause
    answer: Callable[[A], R]
    once: Once[R] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many units of a listing."""

    ticket_id: UUID
    quantity: int


class Marketplace:
    """Everything that can be done. Every method may also raise `Busy` and `Unavailable` (domain/errors.py)."""

    def __init__(self, actors: Actors, default_hold_seconds: int, max_held_per_buyer: int = 0) -> None:
        """
        Args:
            max_held_per_buyer: units of one listing that one buyer may hold unpaid at a time; 0: no cap.
        """
        self._actors = actors
        self._default_hold_seconds = default_hold_seconds
        self._max_held_per_buyer = max_held_per_buyer

    # Accounts -----------------------------------------------------------------------------------------------------

    def sign_up(self, account: Account, session: Session | None, ask: Ask[User, R]) -> Future[R]:
        """Opens an account, signed in if a session is given, and sends a link to its address. Raises `EmailTaken`."""

        def decide(work: Work) -> R:
            work.keep(account)
            if session is not None:
                work.keep(session)
            work.keep(Letter("verify_email", account.user_id))
            user = User.sign_up(account.user_id, work.stamp)
            work.add(user)
            return ask.answer(user)

        return self._actors.tell([account.user_id], decide, ask.cause, ask.once)

    def change_account(
        self, change: AccountChange, former_email: str, session_id: UUID, ask: Ask[User, R]
    ) -> Future[R]:
        """Changes personal data; a new password ends every session but the one it was changed in.

        A link goes to a new address, and word of the change to the former one. Raises `EmailTaken`, `UserNotFound`.
        """

        def tell(work: Work, user: User) -> None:
            user.check_exists()
            work.keep(change)
            if change.email is not None:
                work.keep(Letter("verify_email", change.user_id))
                work.keep(Letter("address_changed", change.user_id, former_email))
            if change.password_hash is not None:
                _end_sessions(work, change.user_id, but=session_id)
            user.note_changes(change.changed(), work.stamp)

        return self._tell_user(change.user_id, ask, tell)

    def verify_email(self, user_id: UUID, token_hash: bytes, ask: Ask[User, R]) -> Future[R]:
        """Whoever has the link reads the account's mail. Raises `BadLink`, `UserNotFound`."""

        def tell(work: Work, user: User) -> None:
            work.check_link((token_hash, "verify_email"), user_id)
            user.check_exists()
            work.keep(EmailVerified(user_id))
            user.note_changes(("email_verified",), work.stamp)

        return self._tell_user(user_id, ask, tell)

    def reset_password(self, change: AccountChange, token_hash: bytes, ask: Ask[User, R]) -> Future[R]:
        """A new password for whoever has the link; every session ends. Raises `BadLink`, `UserNotFound`."""

        def tell(work: Work, user: User) -> None:
            work.check_link((token_hash, "password_reset"), change.user_id)
            user.check_exists()
            work.keep(change)
            _end_sessions(work, change.user_id)
            user.note_changes(change.changed(), work.stamp)

        return self._tell_user(change.user_id, ask, tell)

    def erase_account(self, user_id: UUID, ask: Ask[User, R]) -> Future[R]:
        """Erases the person's data and ends all sessions; the log keeps the bare id. Raises `UserNotFound`."""

        def tell(work: Work, user: User) -> None:
            user.erase(work.stamp)
            work.keep(SessionsEnded(user_id))
            work.keep(AccountErased(user_id))

        return self._tell_user(user_id, ask, tell)

    def appoint(self, user_id: UUID, admin: bool, ask: Ask[User, R]) -> Future[R]:
        """Makes or unmakes an administrator. Raises `UserNotFound`."""
        return self._tell_user(user_id, ask, lambda work, user: user.appoint(admin, work.stamp))

    # Listings -----------------------------------------------------------------------------------------------------

    def offer(self, ticket_id: UUID, seller_id: UUID, listing: Listing, ask: Ask[Ticket, R]) -> Future[R]:
        """Lists tickets for sale. Raises `Invalid`."""

        def decide(work: Work) -> R:
            ticket = Ticket.offer(ticket_id, seller_id, listing, work.stamp)
            work.add(ticket)
            return ask.answer(ticket)

        return self._actors.tell([seller_id], decide, ask.cause, ask.once)

    def edit(
        self,
        ticket_id: UUID,
        by: UUID,
        change: Callable[[Listing], Listing],
        expected_version: int | None,
        ask: Ask[Ticket, R],
    ) -> Future[R]:
        """Changes what is offered, while nobody is paying.

        Raises `TicketNotFound`, `NotOwner`, `VersionMismatch`, `TicketLocked`, `TicketWithdrawn`, `Invalid`.
        """

        def tell(work: Work, ticket: Ticket) -> None:
            ticket.edit(change(ticket.listing), by, work.stamp)

        return self._tell_own_ticket(ticket_id, by, expected_version, ask, tell)

    def withdraw(self, ticket_id: UUID, by: UUID, expected_version: int | None, ask: Ask[Ticket, R]) -> Future[R]:
        """Takes a listing down for good. Raises `TicketNotFound`, `NotOwner`, `VersionMismatch`, `TicketLocked`."""
        return self._tell_own_ticket(
            ticket_id, by, expected_version, ask, lambda work, ticket: ticket.withdraw(by, work.stamp)
        )

    # Orders -------------------------------------------------------------------------------------------------------

    def place_order(self, order_id: UUID, buyer_id: UUID, wanted: Sequence[Wanted], ask: Ask[Order, R]) -> Future[R]:
        """Makes an order and holds all its units, or does nothing.

        Raises `Invalid`, `TicketNotFound`, `OwnTicket`, `SoldOut`, `TooManyHeld`.
        """
        _check_wanted(wanted)

        def decide(work: Work) -> R:
            tickets = [_find(work, Ticket, want.ticket_id, TicketNotFound) for want in wanted]
            items = tuple(
                Item(ticket.id, ticket.seller_id, ticket.listing.title, want.quantity, ticket.listing.price)
                for ticket, want in zip(tickets, wanted, strict=True)
            )
            if any(ticket.seller_id == buyer_id for ticket in tickets):
                raise OwnTicket("nobody buys their own tickets")
            total_of(items)
            for ticket, want in zip(tickets, wanted, strict=True):
                ticket.check_may_reserve(want.quantity, work.stamp.at)
                if self._max_held_per_buyer:
                    ticket.check_may_hold(buyer_id, want.quantity, self._max_held_per_buyer, work.stamp.at)
            # Nothing can be refused from here on.
            hold_seconds = min(ticket.listing.hold_seconds or self._default_hold_seconds for ticket in tickets)
            expires_at = work.stamp.at + timedelta(seconds=hold_seconds)
            order = Order.place(order_id, buyer_id, items, expires_at, work.stamp)
            work.add(order)
            for ticket, want in zip(tickets, wanted, strict=True):
                ticket.reserve(order_id, want.quantity, expires_at, work.stamp, buyer_id)
                if not order.is_open:
                    ticket.sell(order_id, want.quantity, work.stamp)
            return ask.answer(order)

        return self._actors.tell([want.ticket_id for want in wanted], decide, ask.cause, ask.once)

    def cancel_order(self, order_id: UUID, buyer_id: UUID, ask: Ask[Order, R]) -> Future[R]:
        """The buyer's end of an unpaid order: its units are free again. Raises `OrderNotFound`, `OrderNotOpen`."""

        def tell(work: Work, order: Order) -> None:
            _check_buyer(order, buyer_id)
            tickets = _tickets_of(work, order)
            order.cancel(work.stamp)
            for ticket in tickets:
                ticket.release(order.id, "cancelled", work.stamp)

        return self._tell_order(order_id, ask, tell)

    def expire_order(self, order_id: UUID, ask: Ask[Order, R]) -> Future[R]:
        """Ends an order whose deadline has passed; any other order is left as it is. Raises `OrderNotFound`."""

        def tell(work: Work, order: Order) -> None:
            tickets = _tickets_of(work, order)
            if order.expire(work.stamp):
                for ticket in tickets:
                    ticket.release(order.id, "expired", work.stamp)

        return self._tell_order(order_id, ask, tell)

    # Payments -----------------------------------------------------------------------------------------------------

    def check_payable(self, order_id: UUID, buyer_id: UUID, ask: Ask[Order, R]) -> Future[R]:
        """Looks whether a payment may be begun. Raises `OrderNotFound`, `OrderNotOpen`."""

        def tell(work: Work, order: Order) -> None:
            _check_buyer(order, buyer_id)
            order.check_payable(work.stamp.at)

        return self._tell_order(order_id, ask, tell)

    def await_payment(self, order_id: UUID, payment_intent_id: str, ask: Ask[Order, R]) -> Future[R]:
        """Takes down the order's PaymentIntent before it may be confirmed. Raises `OrderNotFound`, `OrderNotOpen`."""
        return self._tell_order(order_id, ask, lambda work, order: order.await_payment(payment_intent_id, work.stamp))

    def take_charge(self, order_id: UUID, charge: Charge, ask: Ask[Order, R]) -> Future[R]:
        """Money came: the order is completed if its units are held or still free, else the money is due to go back.

        Heard twice, it changes nothing. Raises `OrderNotFound`, `ChargeMismatch`.
        """

        def tell(work: Work, order: Order) -> None:
            order.check_charge(charge)
            if not order.knows_charge(charge.charge_id):
                _settle(work, order, charge)

        return self._tell_order(order_id, ask, tell)

    def note_failure(self, order_id: UUID, failure: ChargeFailure, ask: Ask[Order, R]) -> Future[R]:
        """A charge was refused; the order stays open for another try. Raises `OrderNotFound`."""
        return self._tell_order(order_id, ask, lambda work, order: order.note_failure(failure, work.stamp))

    def note_refund(self, order_id: UUID, charge: Charge, refund_id: str, ask: Ask[Order, R]) -> Future[R]:
        """Money went back. Heard twice, it changes nothing. Raises `OrderNotFound`."""
        return self._tell_order(order_id, ask, lambda work, order: order.note_refund(refund_id, charge, work.stamp))

    # Inside -------------------------------------------------------------------------------------------------------

    def _tell_user(self, user_id: UUID, ask: Ask[User, R], tell: Callable[[Work, User], None]) -> Future[R]:
        def decide(work: Work) -> R:
            user = _find(work, User, user_id, UserNotFound)
            tell(work, user)
            return ask.answer(user)

        return self._actors.tell([user_id], decide, ask.cause, ask.once)

    def _tell_own_ticket(
        self,
        ticket_id: UUID,
        by: UUID,
        expected_version: int | None,
        ask: Ask[Ticket, R],
        tell: Callable[[Work, Ticket], None],
    ) -> Future[R]:
        def decide(work: Work) -> R:
            ticket = _find(work, Ticket, ticket_id, TicketNotFound)
            ticket.check_owner(by)
            if expected_version not in (None, ticket.version):
                raise VersionMismatch(f"the listing is at version {ticket.version}")
            tell(work, ticket)
            return ask.answer(ticket)

        return self._actors.tell([ticket_id], decide, ask.cause, ask.once)

    def _tell_order(self, order_id: UUID, ask: Ask[Order, R], tell: Callable[[Work, Order], None]) -> Future[R]:
        def decide(work: Work) -> R:
            order = _find(work, Order, order_id, OrderNotFound)
            tell(work, order)
            return ask.answer(order)

        return self._actors.tell([order_id], decide, ask.cause, ask.once)


def _find(
    work: Work,
    kind: type[TAggregate],
    aggregate_id: UUID,
    missing: type[TicketNotFound | OrderNotFound | UserNotFound],
) -> TAggregate:
    aggregate = work.find(kind, aggregate_id)
    if aggregate is None:
        raise missing(f"there is no {kind.__name__.lower()} {aggregate_id}")
    return aggregate


def _end_sessions(work: Work, user_id: UUID, but: UUID | None = None) -> None:
    """What goes with a new password: who signed in with the old one is out, and the person is told."""
    work.keep(SessionsEnded(user_id, but))
    work.keep(Letter("password_changed", user_id))


def _check_buyer(order: Order, buyer_id: UUID) -> None:
    if order.buyer_id != buyer_id:
        raise OrderNotFound(f"there is no order {order.id}")


def _check_wanted(wanted: Sequence[Wanted]) -> None:
    if not 1 <= len(wanted) <= MAX_ITEMS:
        raise Invalid("items", f"expected 1 to {MAX_ITEMS} listings")
    seen: set[UUID] = set()
    for position, want in enumerate(wanted):
        if want.ticket_id in seen:
            raise Invalid(f"items[{position}].ticket_id", "a listing is named once, with its quantity")
        seen.add(want.ticket_id)
        if not 1 <= want.quantity <= MAX_QUANTITY_PER_ITEM:
            raise Invalid(f"items[{position}].quantity", f"expected 1 to {MAX_QUANTITY_PER_ITEM}")


def _settle(work: Work, order: Order, charge: Charge) -> None:
    """One winner: either every unit becomes the buyer's, or none and the money goes back."""
    stamp: Stamp = work.stamp
    tickets = list(zip(_tickets_of(work, order), (item.quantity for item in order.items), strict=True))
    completes = order.takes_late_money() and all(
        ticket.may_sell(order.id, quantity, stamp.at) for ticket, quantity in tickets
    )
    order.take_charge(charge, completes=completes, stamp=stamp)
    for ticket, quantity in tickets:
        if completes:
            ticket.sell(order.id, quantity, stamp)
        else:
            ticket.release(order.id, "expired", stamp)


def _tickets_of(work: Work, order: Order) -> list[Ticket]:
    return [_find(work, Ticket, item.ticket_id, TicketNotFound) for item in order.items]

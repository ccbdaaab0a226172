"""The marketplace: one method per command. Each loads, decides, tells; every rule is an aggregate's own.

A method sends its decision to the actors (`domain/actors.py`) and returns what `ask.answer` makes of the outcome. The
answer is made at the moment of the decision, from the aggregate itself, so it is complete and current whatever state
the read models are in.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic
from uuid import UUID

from domain import check_in, order_disputes, order_payouts, order_refunds
from domain.actors import Actors
from domain.aggregate import Cause, Stamp, TAggregate
from domain.errors import (
    Invalid,
    NotOwner,
    OrderNotFound,
    OwnTicket,
    TicketNotFound,
    UserNotFound,
    VersionMismatch,
    WrongDoor,
)
from domain.listing import Listing
from domain.order import (
    CANCELLED,
    COMPLETED,
    MAX_ITEMS,
    MAX_QUANTITY_PER_ITEM,
    REFUNDED,
    Charge,
    ChargeFailure,
    Item,
    Order,
    Settlement,
    total_of,
)
from domain.payouts import Terms
from domain.records import Account, AccountChange, AccountErased, EmailVerified, Letter, Session, SessionsEnded
from domain.ticket import Ticket
from domain.user import PayoutAccount, User
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

    def __init__(
        self, actors: Actors, default_hold_seconds: int, max_held_per_buyer: int = 0, terms: Terms | None = None
    ) -> None:
        """
        Args:
            max_held_per_buyer: units of one listing that one buyer may hold unpaid at a time; 0: no cap.
            terms: of orders that are paid from now on; by default the house takes nothing and pays nobody by Stripe.
        """
        self._actors = actors
        self._default_hold_seconds = default_hold_seconds
        self._max_held_per_buyer = max_held_per_buyer
        self._terms = terms or Terms()

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
            items = tuple(_item(ticket, want.quantity) for ticket, want in zip(tickets, wanted, strict=True))
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
                _settle(work, order, charge, self._terms)

        return self._tell_order(order_id, ask, tell)

    def note_failure(self, order_id: UUID, failure: ChargeFailure, ask: Ask[Order, R]) -> Future[R]:
        """A charge was refused; the order stays open for another try. Raises `OrderNotFound`."""
        return self._tell_order(order_id, ask, lambda work, order: order.note_failure(failure, work.stamp))

    def note_settlement(self, order_id: UUID, charge_id: str, settlement: Settlement, ask: Ask[Order, R]) -> Future[R]:
        """What Stripe kept of a charge. Heard twice, it changes nothing. Raises `OrderNotFound`."""
        return self._tell_order(
            order_id, ask, lambda work, order: order.note_settlement(charge_id, settlement, work.stamp)
        )

    # Refunds ------------------------------------------------------------------------------------------------------

    def refund_order(
        self,
        order_id: UUID,
        by: UUID,
        wanted: Sequence[Wanted] | None,
        ask: Ask[Order, R],
        *,
        admin: bool = False,
        resell: bool | None = None,
    ) -> Future[R]:
        """Takes sold units back, and decides that their money goes back.

        The buyer may do it by the sellers' terms (and pays their fee), a seller for what is theirs, an administrator
        always.

        Args:
            wanted: None: all that `by` may give back.
            resell: whether the units are on sale again; None: as their listing says. Not the buyer's to say.

        Raises `OrderNotFound`, `OrderNotRefundable`, `OrderDisputed`, `RefundNotAllowed`, `NotOwner`, `Invalid`.
        """
        if wanted is not None:
            _check_wanted(wanted)

        def tell(work: Work, order: Order) -> None:
            reason, units = _refundable_by(order, by, admin=admin)
            if reason == "buyer" and resell is not None:
                raise Invalid("resell", "the seller's to say, not the buyer's")
            order_refunds.check_refundable(order)
            if wanted is not None:
                units = {want.ticket_id: want.quantity for want in wanted}
                if reason == "seller" and any(item.ticket_id in units and item.seller_id != by for item in order.items):
                    raise NotOwner("only its seller or the house refunds it")
            if reason == "buyer":
                order_refunds.check_terms(order, units, work.stamp.at)
            tickets = [ticket for ticket in _tickets_of(work, order) if ticket.id in units]
            order_refunds.refund(order, units, reason, work.stamp)
            _take_back(order, tickets, units, resell, work.stamp)

        return self._tell_order(order_id, ask, tell)

    def note_refund(self, order_id: UUID, made: order_refunds.RefundMade, ask: Ask[Order, R]) -> Future[R]:
        """Money goes back. Heard twice, it changes nothing. Raises `OrderNotFound`, `ChargeMismatch`."""

        def tell(work: Work, order: Order) -> None:
            units = order_refunds.refundable(order) if order_refunds.undoes(order, made) else {}
            tickets = [_find(work, Ticket, ticket_id, TicketNotFound) for ticket_id in units]
            order_refunds.note_refund(order, made, work.stamp)
            if order.status == REFUNDED:
                _take_back(order, tickets, units, None, work.stamp)

        return self._tell_order(order_id, ask, tell)

    def note_refund_failure(self, order_id: UUID, refund_id: str, ask: Ask[Order, R]) -> Future[R]:
        """The money did not reach the card. Heard twice, it changes nothing. Raises `OrderNotFound`."""
        return self._tell_order(
            order_id, ask, lambda work, order: order_refunds.note_refund_failure(order, refund_id, work.stamp)
        )

    # At the door --------------------------------------------------------------------------------------------------

    def check_in(
        self,
        order_id: UUID,
        ticket_id: UUID,
        number: int,
        by: UUID,
        ask: Ask[Order, R],
        *,
        gate: str | None = None,
        admin: bool = False,
        only: Collection[UUID] | None = None,
    ) -> Future[R]:
        """A ticket lets one person in. Its seller's to say, or an administrator's.

        Args:
            gate: the door, in the words of who stands there.
            only: the listings this door is for; None: all that are `by`'s to let in.

        Raises `OrderNotFound`, `WrongDoor`, `TicketUsed`, `TicketVoid`.
        """

        def tell(work: Work, order: Order) -> None:
            item = next((item for item in order.items if item.ticket_id == ticket_id), None)
            if item is None or (item.seller_id != by and not admin):
                raise OrderNotFound(f"there is no order {order.id}")
            if only is not None and ticket_id not in only:
                raise WrongDoor(f"it is for {item.title!r}")
            check_in.check_in(order, item, number, gate, work.stamp)

        return self._tell_order(order_id, ask, tell)

    # Payouts and disputes -----------------------------------------------------------------------------------------

    def look(self, order_id: UUID, ask: Ask[Order, R]) -> Future[R]:
        """The order as it is, changed by nobody. Raises `OrderNotFound`."""
        return self._tell_order(order_id, ask, lambda _work, _order: None)

    def open_account(self, user_id: UUID, account_id: str, ask: Ask[User, R]) -> Future[R]:
        """A seller has a Stripe account from now on; the first one stays. Raises `UserNotFound`."""
        return self._tell_user(user_id, ask, lambda work, user: user.open_account(account_id, work.stamp))

    def note_account(self, user_id: UUID, account: PayoutAccount, ask: Ask[User, R]) -> Future[R]:
        """How a seller's Stripe account stands. Raises `UserNotFound`, `AccountMismatch`."""
        return self._tell_user(user_id, ask, lambda work, user: user.note_account(account, work.stamp))

    def release_payouts(self, order_id: UUID, ask: Ask[Order, R]) -> Future[R]:
        """Decides the transfers to the sellers who can be paid, if it is time. Raises `OrderNotFound`, `OrderDisputed`.

        An event that was put off puts them off, too.
        """

        def tell(work: Work, order: Order) -> None:
            if order.payout_at is None:
                return
            starts = [ticket.listing.event.starts_at for ticket in _tickets_of(work, order)]
            sellers = [_find(work, User, share.seller_id, UserNotFound) for share in order.shares]
            payout_at = self._terms.payout_at(order.payout_at, starts)
            if payout_at is not None and payout_at <= work.stamp.at:
                accounts = {user.id: user.account_id for user in sellers if user.account_id and user.transfers_enabled}
                order_payouts.release(order, accounts, work.stamp)

        return self._tell_order(order_id, ask, tell)

    def note_transfer(self, order_id: UUID, number: int, transfer_id: str, ask: Ask[Order, R]) -> Future[R]:
        """A seller's money was moved. Heard twice, it changes nothing. Raises `OrderNotFound`."""
        return self._tell_order(
            order_id, ask, lambda work, order: order_payouts.note_transfer(order, number, transfer_id, work.stamp)
        )

    def note_reversal(self, order_id: UUID, number: int, reversal_id: str, ask: Ask[Order, R]) -> Future[R]:
        """A seller's money came back. Heard twice, it changes nothing. Raises `OrderNotFound`."""
        return self._tell_order(
            order_id, ask, lambda work, order: order_payouts.note_reversal(order, number, reversal_id, work.stamp)
        )

    def note_dispute(self, order_id: UUID, told: order_disputes.DisputeWord, ask: Ask[Order, R]) -> Future[R]:
        """How a dispute stands. Heard twice, it changes nothing. Raises `OrderNotFound`, `ChargeMismatch`."""
        return self._tell_order(order_id, ask, lambda work, order: order_disputes.note_dispute(order, told, work.stamp))

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


def _item(ticket: Ticket, quantity: int) -> Item:
    listing = ticket.listing
    return Item(
        ticket.id,
        ticket.seller_id,
        listing.title,
        quantity,
        listing.price,
        listing.refund_until,
        listing.refund_fee if listing.refund_until else 0,
    )


def _settle(work: Work, order: Order, charge: Charge, terms: Terms) -> None:
    """One winner: either every unit becomes the buyer's, or none and the money goes back."""
    stamp: Stamp = work.stamp
    tickets = list(zip(_tickets_of(work, order), (item.quantity for item in order.items), strict=True))
    reason = _refund_reason(order, tickets, stamp)
    payout_at = terms.payout_at(stamp.at, [ticket.listing.event.starts_at for ticket, _ in tickets])
    order.take_charge(charge, stamp, terms=terms, payout_at=payout_at, refund_reason=reason)
    for ticket, quantity in tickets:
        if reason is None:
            ticket.sell(order.id, quantity, stamp)
        else:
            ticket.release(order.id, "expired", stamp)


def _refund_reason(order: Order, tickets: Sequence[tuple[Ticket, int]], stamp: Stamp) -> str | None:
    """Why money that came cannot complete the order, see `domain.payouts.Refund.reason`; None: it does."""
    if order.status in (COMPLETED, REFUNDED):
        return "paid_twice"
    if order.status == CANCELLED:
        return "cancelled"
    gone = [ticket for ticket, quantity in tickets if not ticket.may_sell(order.id, quantity, stamp.at)]
    if not gone:
        return None
    return "withdrawn" if all(ticket.withdrawn for ticket in gone) else "sold_out"


def _refundable_by(order: Order, by: UUID, *, admin: bool) -> tuple[str, dict[UUID, int]]:
    """As who somebody asks for a refund, and the units they may take back. Raises `OrderNotFound`."""
    if by == order.buyer_id:
        unused = {item.ticket_id: len(check_in.unused(order, item)) for item in order.items}
        return "buyer", {ticket_id: quantity for ticket_id, quantity in unused.items() if quantity}
    if any(item.seller_id == by for item in order.items):
        return "seller", order_refunds.refundable(order, by)
    if admin:
        return "house", order_refunds.refundable(order)
    raise OrderNotFound(f"there is no order {order.id}")


def _take_back(
    order: Order, tickets: Sequence[Ticket], units: Mapping[UUID, int], resell: bool | None, stamp: Stamp
) -> None:
    for ticket in tickets:
        again = ticket.listing.resell_returned if resell is None else resell
        ticket.take_back(order.id, units[ticket.id], stamp, resell=again)


def _tickets_of(work: Work, order: Order) -> list[Ticket]:
    return [_find(work, Ticket, item.ticket_id, TicketNotFound) for item in order.items]

"""Money that goes back to a buyer, by whoever's wish: decided on the order, made by Stripe, tried again if it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from domain.aggregate import Event, Stamp, pinned
from domain.check_in import unused
from domain.errors import ChargeMismatch, OrderDisputed, OrderNotRefundable, RefundNotAllowed
from domain.money import Money
from domain.order import COMPLETED, REFUNDED, Item, Order
from domain.order_payouts import is_owing, reverse_overpaid
from domain.payouts import LOST, Refund, Share, TakenBack, next_number, pending_of, put, take_back

MAX_REFUNDS = 100
"""Of one order: as many as an item may have units. Each event about them names them all."""


@dataclass(frozen=True, slots=True)
class RefundMade:
    """A refund as Stripe has it."""

    refund_id: str
    charge_id: str
    money: Money
    number: int | None
    """Ours; None: it was made at Stripe."""
    tries: int = 0
    """How often a refund of this number had failed before, see `Refund`."""

    def is_over(self, known: Refund) -> bool:
        """Whether it is an earlier try of a refund: it has failed since, whatever is heard of it yet."""
        return self.number == known.number and self.tries < known.tries


def refundable(order: Order, seller_id: UUID | None = None) -> dict[UUID, int]:
    """Units that are still the buyer's, by listing; of one seller if given."""
    return {
        item.ticket_id: item.kept
        for item in order.items
        if item.kept and (seller_id is None or item.seller_id == seller_id)
    }


def check_refundable(order: Order) -> None:
    """Raises `OrderNotRefundable`, `OrderDisputed` when nothing of it may be refunded."""
    if order.status != COMPLETED:
        raise OrderNotRefundable(f"the order is {order.status}")
    if order.is_disputed:
        raise OrderDisputed("the buyer's bank is deciding about the money")
    if len(order.refunds) >= MAX_REFUNDS:
        raise OrderNotRefundable(f"an order has at most {MAX_REFUNDS} refunds")


def check_terms(order: Order, wanted: Mapping[UUID, int], now: datetime) -> None:
    """Raises `RefundNotAllowed` when a buyer may not give these back (any more)."""
    for item in order.items:
        quantity = wanted.get(item.ticket_id, 0)
        if quantity and (item.refund_until is None or now >= item.refund_until):
            raise RefundNotAllowed(f"{item.title!r} cannot be given back, or not any more: ask its seller")
        if item.kept >= quantity > len(unused(order, item)):
            raise RefundNotAllowed(f"{item.title!r}: so many have not been left unused")


def refund(order: Order, wanted: Mapping[UUID, int], reason: str, stamp: Stamp) -> None:
    """Takes units from the buyer and decides what money goes back for them.

    Args:
        wanted: units by listing, as of `refundable`.
        reason: `buyer` (less the seller's fee), `seller` or `house`.

    Raises:
        OrderNotRefundable, OrderDisputed.
    """
    check_refundable(order)
    kept = refundable(order)
    if not wanted or any(not 0 < quantity <= kept.get(ticket_id, 0) for ticket_id, quantity in wanted.items()):
        raise OrderNotRefundable("it has not so many units that are not refunded")
    left = order.money_left
    shares, taken = list(order.shares), []
    for place, item in enumerate(order.items):
        if quantity := wanted.get(item.ticket_id, 0):
            fee = item.refund_fee if reason == "buyer" else 0
            amount = min((item.price.amount - fee) * quantity, shares[place].gross, left)
            left -= amount
            shares[place], back = take_back(shares[place], quantity, amount, order.fee_bps, order.total.currency)
            taken.append(back)
    _decide(order, tuple(taken), tuple(shares), reason, stamp)


def note_refund(order: Order, made: RefundMade, stamp: Stamp) -> None:
    """Takes down that Stripe sends money back; hearing it twice, or late of one that failed since, changes nothing.

    One that nobody here decided is the house's own gift, unless it is all that was left: then it undoes the order.

    Raises:
        ChargeMismatch: no such charge, or not this money.
    """
    if any(known.refund_id == made.refund_id or made.is_over(known) for known in order.refunds):
        return
    if not order.knows_charge(made.charge_id):
        raise ChargeMismatch("the refund is of another charge")
    if made.money.currency != order.total.currency or made.money.amount <= 0:
        raise ChargeMismatch(f"the refund is {made.money}, the order {order.total}")
    due = _due(order, made)
    if due is None:
        due = _decide_outside(order, made, stamp)
    refunds = put(order.refunds, replace(due, refund_id=made.refund_id))
    order.trigger(
        RefundCreated,
        stamp,
        payment_intent_id=order.payment_intent_id,
        charge_id=made.charge_id,
        refund_id=made.refund_id,
        money=made.money,
        number=due.number,
        refunds=refunds,
        moves_due=len(order.due_moves()) - (due.status == "pending"),
    )


def note_refund_failure(order: Order, refund_id: str, stamp: Stamp) -> None:
    """Takes down that a refund never came to the card: it is due again. Of one not known here nothing is changed."""
    failed = next((known for known in order.refunds if known.refund_id == refund_id), None)
    if failed is not None:
        again = replace(failed, refund_id=None, tries=failed.tries + 1)
        order.trigger(
            RefundFailed,
            stamp,
            charge_id=failed.charge_id,
            refund_id=refund_id,
            money=failed.money,
            number=failed.number,
            refunds=put(order.refunds, again),
            moves_due=len(order.due_moves()) + (again.status == "pending"),
        )


def undoes(order: Order, made: RefundMade) -> bool:
    """Whether a refund that nobody here decided takes all that was left of the order's money."""
    return (
        order.status == COMPLETED
        and _due(order, made) is None
        and all(known.refund_id != made.refund_id for known in order.refunds)
        and _gift(order, made, _still_owed(order, made)) == order.money_left
    )


def _due(order: Order, made: RefundMade) -> Refund | None:
    """The refund that this one carries out. What was made by an earlier version names no number."""
    for known in order.refunds:
        if known.refund_id is None and known.charge_id == made.charge_id and made.number in (None, known.number):
            if known.money == made.money:
                return known
            if made.number is not None:
                raise ChargeMismatch(f"the refund is {made.money}, decided was {known.money}")
    return None


def _decide_outside(order: Order, made: RefundMade, stamp: Stamp) -> Refund:
    """A decision for what was made at Stripe."""
    refunds = _still_owed(order, made)
    outside = Refund(next_number((*order.refunds, *refunds)), made.charge_id, made.money, "stripe")
    gift = _gift(order, made, refunds)
    if order.status == COMPLETED and gift == order.money_left and not order.is_disputed:
        _undo(order, (*refunds, outside), stamp)
    else:
        _decide(order, (), order.shares, "stripe", stamp, from_house=gift, refunds=(*refunds, outside))
    return outside


def _still_owed(order: Order, made: RefundMade) -> tuple[Refund, ...]:
    """The order's refunds, those to be made cut to what the charge has left once this one is made.

    Stripe gives back no more than it took, so the buyer has the rest of them by it. What is left goes under a number of
    its own: the amount of a number never changes.
    """
    refunds = [known for known in order.refunds if known.refund_id is not None or known.charge_id != made.charge_id]
    lost = {gone.dispute_id: gone.money.amount for gone in order.disputes if gone.status == LOST}
    left = order.total.amount - made.money.amount - sum(lost.values())
    left -= sum(
        known.money.amount for known in refunds if known.charge_id == made.charge_id and known.refund_id not in lost
    )
    for owed in order.refunds:
        if owed not in refunds:
            amount = min(owed.money.amount, max(0, left))
            left -= amount
            if amount == owed.money.amount:
                refunds.append(owed)
            elif amount:
                money = replace(owed.money, amount=amount)
                number = next_number((*order.refunds, *refunds))
                refunds.append(Refund(number, owed.charge_id, money, owed.reason))
    return tuple(sorted(refunds, key=lambda known: known.number))


def _gift(order: Order, made: RefundMade, refunds: tuple[Refund, ...]) -> int:
    """What of a refund made at Stripe pays for none that was decided here."""
    owed = [sum(known.money.amount for known in some if known.refund_id is None) for some in (order.refunds, refunds)]
    return made.money.amount - (owed[0] - owed[1])


def _undo(order: Order, refunds: tuple[Refund, ...], stamp: Stamp) -> None:
    """Takes every unit and all the money that is left, also what a seller had kept of a unit that was given back."""
    left = order.money_left
    shares, taken = list(order.shares), []
    for place, item in enumerate(order.items):
        amount = min(shares[place].gross, left)
        if item.kept or amount:
            left -= amount
            shares[place], back = take_back(shares[place], item.kept, amount, order.fee_bps, order.total.currency)
            taken.append(back)
    _decide(order, tuple(taken), tuple(shares), "stripe", stamp, from_house=left, refunds=refunds)


def _decide(
    order: Order,
    taken: tuple[TakenBack, ...],
    shares: tuple[Share, ...],
    reason: str,
    stamp: Stamp,
    *,
    from_house: int = 0,
    refunds: tuple[Refund, ...] | None = None,
) -> None:
    """`refunds`: all of the order's, where it is not just one more that Stripe has to make."""
    money = Money(sum(back.amount for back in taken) + from_house, order.total.currency)
    if refunds is None:
        refunds = order.refunds
        if money.amount:
            assert order.charge_id is not None
            refunds = (*refunds, Refund(next_number(refunds), order.charge_id, money, reason))
    units = {back.ticket_id: back.quantity for back in taken}
    items = tuple(replace(item, refunded=item.refunded + units.get(item.ticket_id, 0)) for item in order.items)
    order.trigger(
        Refunded,
        stamp,
        status=order.status if any(item.kept for item in items) else REFUNDED,
        money=money,
        reason=reason,
        taken_back=taken,
        from_house=from_house,
        items=items,
        shares=shares,
        refunds=refunds,
        moves_due=len(order.due_moves()) + pending_of(refunds) - pending_of(order.refunds),
        payout_at=order.payout_at if is_owing(shares, order.transfers) else None,
    )
    reverse_overpaid(order, stamp)


@pinned("stagedoor.Order.Refunded")
class Refunded(Event):
    status: str
    """Of the order now: `refunded` once no unit is the buyer's any more."""
    money: Money
    reason: str
    taken_back: tuple[TakenBack, ...]
    from_house: int
    items: tuple[Item, ...]
    shares: tuple[Share, ...]
    refunds: tuple[Refund, ...]
    moves_due: int
    payout_at: datetime | None

    def apply(self, aggregate: Order) -> None:
        aggregate.status = self.status
        aggregate.money_left = max(0, aggregate.money_left - self.money.amount)
        aggregate.items = self.items
        aggregate.shares = self.shares
        aggregate.refunds = self.refunds
        aggregate.payout_at = self.payout_at


@pinned("stagedoor.Order.RefundCreated")
class RefundCreated(Event):
    class_version: ClassVar[int] = 2
    payment_intent_id: str
    charge_id: str
    refund_id: str
    money: Money
    number: int
    refunds: tuple[Refund, ...]
    moves_due: int

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        known = {name: state[name] for name in ("charge_id", "refund_id", "money")}
        state |= {"number": 1, "refunds": [{"number": 1, "reason": "late", **known}], "moves_due": 0}

    def apply(self, aggregate: Order) -> None:
        aggregate.refunds = self.refunds


@pinned("stagedoor.Order.RefundFailed")
class RefundFailed(Event):
    charge_id: str
    refund_id: str
    money: Money
    number: int
    refunds: tuple[Refund, ...]
    moves_due: int

    def apply(self, aggregate: Order) -> None:
        aggregate.refunds = self.refunds

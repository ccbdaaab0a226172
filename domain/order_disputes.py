"""A buyer's bank asks the money back (a chargeback): what Stripe tells of it, and whose loss it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from domain.aggregate import Event, Stamp, pinned
from domain.errors import ChargeMismatch
from domain.money import Money
from domain.order import Order
from domain.order_payouts import is_owing, reverse_overpaid
from domain.payouts import LOST, Dispute, Refund, Share, TakenBack, next_number, pending_of, put, take_back

FIRST = "needs_response"


@dataclass(frozen=True, slots=True)
class DisputeWord:
    """What Stripe tells of a dispute: how it stands, and which way its money went so far."""

    dispute: Dispute
    withdrawn_fee: Money | None = None
    """Stripe's fee, once the bank has taken the money; None: it has not."""
    reinstated: bool = False


def note_dispute(order: Order, told: DisputeWord, stamp: Stamp) -> None:
    """Takes down how a dispute stands; hearing it twice, or something older once it is over, changes nothing.

    Lost, its money is taken out of the sellers' and the house's parts, and what they were paid of it comes back.

    Raises:
        ChargeMismatch: it is about no charge of this order, or about money of another currency.
    """
    dispute = told.dispute
    if not order.knows_charge(dispute.charge_id):
        raise ChargeMismatch("the dispute is about another charge")
    if dispute.money.currency != order.total.currency or dispute.money.amount < 0:
        raise ChargeMismatch(f"the dispute is about {dispute.money}, the order {order.total}")
    known = _find(order, dispute.dispute_id)
    if known is None:
        known = replace(dispute, status=dispute.status if dispute.is_open else FIRST)
        order.trigger(DisputeCreated, stamp, dispute=known)
    if told.withdrawn_fee is not None and not known.withdrawn:
        fee = told.withdrawn_fee
        order.trigger(DisputeFundsWithdrawn, stamp, dispute_id=known.dispute_id, money=known.money, fee=fee)
    if told.reinstated and not known.reinstated:
        order.trigger(DisputeFundsReinstated, stamp, dispute_id=known.dispute_id, money=known.money)
    if known.is_open and dispute.is_open and dispute.status != known.status:
        order.trigger(DisputeUpdated, stamp, dispute_id=known.dispute_id, status=dispute.status)
    elif known.is_open and not dispute.is_open:
        _close(order, replace(known, status=dispute.status), stamp)


def _close(order: Order, over: Dispute, stamp: Stamp) -> None:
    lost = over.money.amount if over.status == LOST else 0
    left = lost
    refunds = order.refunds
    for refund in order.refunds:
        if left and refund.status == "pending" and refund.charge_id == over.charge_id:
            # Decided, and not made in time: the buyer has it from the bank, all or a part.
            carried = min(left, refund.money.amount)
            left -= carried
            refunds = _carried(refunds, refund, carried, over.dispute_id)
    shares, taken = list(order.shares), []
    for place, share in enumerate(shares):
        amount = min(left, share.gross)
        if amount:
            left -= amount
            shares[place], back = take_back(share, 0, amount, order.fee_bps, order.total.currency)
            taken.append(back)
    order.trigger(
        DisputeClosed,
        stamp,
        dispute_id=over.dispute_id,
        status=over.status,
        money=Money(lost, over.money.currency),
        taken_back=tuple(taken),
        from_house=left,
        shares=tuple(shares),
        refunds=refunds,
        moves_due=len(order.due_moves()) + pending_of(refunds) - pending_of(order.refunds),
        payout_at=order.payout_at if is_owing(shares, order.transfers) else None,
    )
    reverse_overpaid(order, stamp)


def _carried(refunds: tuple[Refund, ...], refund: Refund, amount: int, dispute_id: str) -> tuple[Refund, ...]:
    """With so much of a refund made by a bank; the rest is due under a number of its own."""
    done = replace(refund, refund_id=dispute_id, money=replace(refund.money, amount=amount))
    rest = refund.money.amount - amount
    changed = put(refunds, done)
    if not rest:
        return changed
    money = replace(refund.money, amount=rest)
    return (*changed, Refund(next_number(refunds), refund.charge_id, money, refund.reason))


def _find(order: Order, dispute_id: str) -> Dispute | None:
    return next((dispute for dispute in order.disputes if dispute.dispute_id == dispute_id), None)


def _replace(order: Order, dispute_id: str, **changes: object) -> None:
    order.disputes = tuple(
        replace(known, **changes) if known.dispute_id == dispute_id else known  # type: ignore[arg-type]
        for known in order.disputes
    )


@pinned("stagedoor.Order.DisputeCreated")
class DisputeCreated(Event):
    dispute: Dispute

    def apply(self, aggregate: Order) -> None:
        aggregate.disputes = (*aggregate.disputes, self.dispute)


@pinned("stagedoor.Order.DisputeUpdated")
class DisputeUpdated(Event):
    dispute_id: str
    status: str

    def apply(self, aggregate: Order) -> None:
        _replace(aggregate, self.dispute_id, status=self.status)


@pinned("stagedoor.Order.DisputeFundsWithdrawn")
class DisputeFundsWithdrawn(Event):
    dispute_id: str
    money: Money
    fee: Money

    def apply(self, aggregate: Order) -> None:
        _replace(aggregate, self.dispute_id, withdrawn=True)


@pinned("stagedoor.Order.DisputeFundsReinstated")
class DisputeFundsReinstated(Event):
    dispute_id: str
    money: Money

    def apply(self, aggregate: Order) -> None:
        _replace(aggregate, self.dispute_id, reinstated=True)


@pinned("stagedoor.Order.DisputeClosed")
class DisputeClosed(Event):
    dispute_id: str
    status: str
    money: Money
    """Lost: 0 unless `status` is `lost`."""
    taken_back: tuple[TakenBack, ...]
    from_house: int
    shares: tuple[Share, ...]
    refunds: tuple[Refund, ...]
    moves_due: int
    payout_at: datetime | None

    def apply(self, aggregate: Order) -> None:
        _replace(aggregate, self.dispute_id, status=self.status)
        aggregate.money_left = max(0, aggregate.money_left - self.money.amount)
        aggregate.shares = self.shares
        aggregate.refunds = self.refunds
        aggregate.payout_at = self.payout_at

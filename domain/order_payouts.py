"""Sellers' money: transferred when its time has come, taken back when the buyer's money went back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from domain.aggregate import Event, Stamp, pinned
from domain.errors import OrderDisputed
from domain.money import Money
from domain.order import Order
from domain.payouts import Reversal, Share, Transfer, put


def owed(shares: Iterable[Share], transfers: Iterable[Transfer]) -> dict[UUID, int]:
    """By seller, what is not on its way yet; less than nothing: so much too much is."""
    amounts: dict[UUID, int] = {}
    for share in shares:
        amounts[share.seller_id] = amounts.get(share.seller_id, 0) + share.net
    for transfer in transfers:
        amounts[transfer.seller_id] -= transfer.money.amount - transfer.reversed
    return amounts


def is_owing(shares: Iterable[Share], transfers: Iterable[Transfer]) -> bool:
    """Whether a seller is still to be paid."""
    return any(amount > 0 for amount in owed(shares, transfers).values())


def release(order: Order, accounts: Mapping[UUID, str], stamp: Stamp) -> None:
    """Decides the transfers to those sellers who have an account that takes them, if the time has come.

    Raises:
        OrderDisputed: the money may have to go back.
    """
    if order.payout_at is None or stamp.at < order.payout_at:
        return
    if order.is_disputed:
        raise OrderDisputed("the buyer's bank is deciding about the money")
    for seller_id, amount in owed(order.shares, order.transfers).items():
        if amount > 0 and seller_id in accounts:
            assert order.charge_id is not None
            money = Money(amount, order.total.currency)
            number = len(order.transfers) + 1
            transfer = Transfer(number, seller_id, accounts[seller_id], money, order.charge_id)
            more = is_owing(order.shares, (*order.transfers, transfer))
            order.trigger(
                TransferDue,
                stamp,
                transfer=transfer,
                moves_due=len(order.due_moves()) + 1,
                payout_at=order.payout_at if more else None,
            )


def note_transfer(order: Order, number: int, transfer_id: str, stamp: Stamp) -> None:
    """Takes down that Stripe has moved the money; hearing it twice changes nothing."""
    transfer = order.transfers[number - 1]
    if transfer.transfer_id is None:
        order.trigger(
            TransferCreated,
            stamp,
            number=number,
            seller_id=transfer.seller_id,
            transfer_id=transfer_id,
            money=transfer.money,
            moves_due=len(order.due_moves()) - 1,
        )
        reverse_overpaid(order, stamp)


def note_reversal(order: Order, number: int, reversal_id: str, stamp: Stamp) -> None:
    """Takes down that Stripe has taken the money back; hearing it twice changes nothing."""
    reversal = order.reversals[number - 1]
    if reversal.reversal_id is None:
        order.trigger(
            TransferReversed,
            stamp,
            number=number,
            seller_id=reversal.seller_id,
            transfer_id=reversal.transfer_id,
            reversal_id=reversal_id,
            money=reversal.money,
            moves_due=len(order.due_moves()) - 1,
        )


def reverse_overpaid(order: Order, stamp: Stamp) -> None:
    """Decides to take back what a seller has too much of; of a transfer still under way once that is made."""
    for seller_id, amount in owed(order.shares, order.transfers).items():
        too_much = -amount
        for transfer in reversed(_made(order.transfers, seller_id)):
            taken = min(too_much, transfer.money.amount - transfer.reversed)
            if taken > 0:
                too_much -= taken
                assert transfer.transfer_id is not None
                money = Money(taken, order.total.currency)
                reversal = Reversal(len(order.reversals) + 1, seller_id, transfer.transfer_id, money)
                order.trigger(
                    ReversalDue,
                    stamp,
                    reversal=reversal,
                    transfer_number=transfer.number,
                    moves_due=len(order.due_moves()) + 1,
                )


def _made(transfers: Collection[Transfer], seller_id: UUID) -> list[Transfer]:
    return [transfer for transfer in transfers if transfer.seller_id == seller_id and transfer.transfer_id is not None]


@pinned("stagedoor.Order.TransferDue")
class TransferDue(Event):
    transfer: Transfer
    moves_due: int
    payout_at: datetime | None

    def apply(self, aggregate: Order) -> None:
        aggregate.transfers = (*aggregate.transfers, self.transfer)
        aggregate.payout_at = self.payout_at


@pinned("stagedoor.Order.TransferCreated")
class TransferCreated(Event):
    number: int
    seller_id: UUID
    transfer_id: str
    money: Money
    moves_due: int

    def apply(self, aggregate: Order) -> None:
        made = replace(aggregate.transfers[self.number - 1], transfer_id=self.transfer_id)
        aggregate.transfers = put(aggregate.transfers, made)


@pinned("stagedoor.Order.ReversalDue")
class ReversalDue(Event):
    reversal: Reversal
    transfer_number: int
    moves_due: int

    def apply(self, aggregate: Order) -> None:
        aggregate.reversals = (*aggregate.reversals, self.reversal)
        transfer = aggregate.transfers[self.transfer_number - 1]
        less = replace(transfer, reversed=transfer.reversed + self.reversal.money.amount)
        aggregate.transfers = put(aggregate.transfers, less)


@pinned("stagedoor.Order.TransferReversed")
class TransferReversed(Event):
    number: int
    seller_id: UUID
    transfer_id: str
    reversal_id: str
    money: Money
    moves_due: int

    def apply(self, aggregate: Order) -> None:
        made = replace(aggregate.reversals[self.number - 1], reversal_id=self.reversal_id)
        aggregate.reversals = put(aggregate.reversals, made)

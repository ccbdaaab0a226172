"""The ledger: what an event about an order's money means in double entry. See docs/ledger.md.

Amounts are minor units; more than 0 is debit, less is credit. The postings of an event come to 0 in each currency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from uuid import UUID

from domain.money import Money
from domain.payouts import TakenBack
from domain.published import PublishedEvent
from domain.published_money import (
    ChargeCreated,
    ChargeSettled,
    DisputeClosed,
    DisputeFundsReinstated,
    DisputeFundsWithdrawn,
    OrderCompleted,
    OrderRefunded,
    RefundCreated,
    RefundFailed,
    TransferCreated,
    TransferReversed,
)
from projections.projection import Line, Lines

STRIPE = "stripe"
"""The house's balance at Stripe."""
BUYERS = "buyers"
"""What buyers gave for tickets that are not theirs, or gave back, and still have to get: the house owes it to them."""
SELLERS = "sellers"
"""What the house owes to sellers; the party is the seller."""
HOUSE = "house"
"""The house's fees, and what it lost."""
STRIPE_FEES = "stripe_fees"
"""What Stripe kept."""
DISPUTES = "disputes"
"""Money that buyers' banks hold until a dispute is over."""

ACCOUNTS = (STRIPE, DISPUTES, BUYERS, SELLERS, HOUSE, STRIPE_FEES)
"""In the order of a balance sheet: what there is, whose it is, and what was earned and spent."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One line."""

    account: str
    amount: int
    currency: str
    reference: str | None = None
    """Stripe's id of what moved."""
    number: int | None = None
    """Of the refund, transfer or reversal in its order."""
    party: UUID | None = None
    """The seller whose money it is; of `house`: whose sale it was."""
    ticket_id: UUID | None = None
    quantity: int | None = None
    """Units sold, or less than 0: returned."""


Postings: TypeAlias = Iterator[Posting]


def postings(event: PublishedEvent) -> tuple[Posting, ...]:
    """What an event means; nothing for those that move no money."""
    handler = _HANDLERS.get(type(event.data))
    return () if handler is None else tuple(_meaningful(handler(event.data)))


def make_lines(event: PublishedEvent) -> list[Line]:
    """The postings as rows of the table `ledger`."""
    return [
        (
            event.subject,
            event.sequence,
            line,
            event.position,
            event.time,
            event.type,
            posting.account,
            posting.party,
            posting.ticket_id,
            posting.quantity,
            posting.amount,
            posting.currency,
            posting.reference,
            posting.number,
        )
        for line, posting in enumerate(postings(event), 1)
    ]


def _meaningful(found: Iterable[Posting]) -> Postings:
    # Units may change hands for nothing; nothing else is told of an amount of 0.
    return (posting for posting in found if posting.amount or posting.quantity)


def _charge_created(data: ChargeCreated) -> Postings:
    return _moved(STRIPE, BUYERS, data.money, data.charge_id)


def _charge_settled(data: ChargeSettled) -> Postings:
    return _moved(STRIPE_FEES, STRIPE, data.fee, data.balance_transaction_id)


def _order_completed(data: OrderCompleted) -> Postings:
    if data.money is None:
        return  # Paid before the parts were told: the charge stays as it came.
    currency, charge = data.money.currency, data.charge_id
    yield Posting(BUYERS, sum(share.gross for share in data.shares), currency, charge)
    for share in data.shares:
        seller_id, ticket_id = share.seller_id, share.ticket_id
        yield Posting(SELLERS, -share.net, currency, charge, None, seller_id, ticket_id, share.quantity)
        yield Posting(HOUSE, -share.fee, currency, charge, None, seller_id, ticket_id)


def _order_refunded(data: OrderRefunded) -> Postings:
    if not any(item.price.amount for item in data.items):
        return  # It cost nothing, so it was never sold here.
    currency = data.money.currency
    number = data.refunds[-1].number if data.money.amount else None
    yield from _taken_back(data.taken_back, currency, None, number)
    yield Posting(HOUSE, data.from_house, currency, number=number)
    yield Posting(BUYERS, -data.money.amount, currency, number=number)


def _taken_back(taken: Iterable[TakenBack], currency: str, reference: str | None, number: int | None) -> Postings:
    for back in taken:
        seller_id, ticket_id, units = back.seller_id, back.ticket_id, -back.quantity or None
        yield Posting(SELLERS, back.from_seller, currency, reference, number, seller_id, ticket_id, units)
        yield Posting(HOUSE, back.from_house, currency, reference, number, seller_id, ticket_id)


def _refund_created(data: RefundCreated) -> Postings:
    return _moved(BUYERS, STRIPE, data.money, data.refund_id, data.number)


def _refund_failed(data: RefundFailed) -> Postings:
    return _moved(STRIPE, BUYERS, data.money, data.refund_id, data.number)


def _transfer_created(data: TransferCreated) -> Postings:
    return _of_seller(data.seller_id, _moved(SELLERS, STRIPE, data.money, data.transfer_id, data.number))


def _transfer_reversed(data: TransferReversed) -> Postings:
    return _of_seller(data.seller_id, _moved(STRIPE, SELLERS, data.money, data.reversal_id, data.number))


def _dispute_funds_withdrawn(data: DisputeFundsWithdrawn) -> Postings:
    yield from _moved(DISPUTES, STRIPE, data.money, data.dispute_id)
    yield from _moved(STRIPE_FEES, STRIPE, data.fee, data.dispute_id)


def _dispute_funds_reinstated(data: DisputeFundsReinstated) -> Postings:
    return _moved(STRIPE, DISPUTES, data.money, data.dispute_id)


def _dispute_closed(data: DisputeClosed) -> Postings:
    lost, currency, dispute = data.money.amount, data.money.currency, data.dispute_id
    yield from _taken_back(data.taken_back, currency, dispute, None)
    yield Posting(HOUSE, data.from_house, currency, dispute)
    # The rest had been decided to go back, and now the bank has brought it to the buyer.
    refunded = lost - sum(back.amount for back in data.taken_back) - data.from_house
    yield Posting(BUYERS, refunded, currency, dispute)
    yield Posting(DISPUTES, -lost, currency, dispute)


def _moved(debit: str, credit: str, money: Money, reference: str, number: int | None = None) -> Postings:
    """From one account to another."""
    yield Posting(debit, money.amount, money.currency, reference, number)
    yield Posting(credit, -money.amount, money.currency, reference, number)


def _of_seller(seller_id: UUID, moved: Postings) -> Postings:
    return (replace(posting, party=seller_id) if posting.account == SELLERS else posting for posting in moved)


_HANDLERS: dict[type, Callable[[Any], Postings]] = {
    ChargeCreated: _charge_created,
    ChargeSettled: _charge_settled,
    OrderCompleted: _order_completed,
    OrderRefunded: _order_refunded,
    RefundCreated: _refund_created,
    RefundFailed: _refund_failed,
    TransferCreated: _transfer_created,
    TransferReversed: _transfer_reversed,
    DisputeFundsWithdrawn: _dispute_funds_withdrawn,
    DisputeFundsReinstated: _dispute_funds_reinstated,
    DisputeClosed: _dispute_closed,
}

LEDGER = Lines(
    table="ledger",
    aggregate="order_id",
    columns={
        "position": "bigint",
        "at": "timestamptz",
        "type": "text",
        "account": "text",
        "party": "uuid",
        "ticket_id": "uuid",
        "quantity": "integer",
        "amount": "bigint",
        "currency": "text",
        "reference": "text",
        "number": "integer",
    },
    make=make_lines,
)

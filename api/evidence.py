"""What is known of an order, in plain words for a bank: what was bought, paid, given back. No personal data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from domain.listing import EventDetails
from domain.money import Money
from domain.order import Item, Order
from domain.payouts import Dispute, TakenBack
from domain.published import CheckInCreated, PublishedEvent
from domain.published_money import ChargeCreated, OrderRefunded, RefundCreated

_WHO = {
    "buyer": "at the customer's wish",
    "seller": "by the seller",
    "house": "by the marketplace",
    "stripe": "by the marketplace",
}


def text(
    order: Order,
    items: Sequence[Item],
    events: Iterable[PublishedEvent],
    happenings: Mapping[UUID, EventDetails],
    dispute: Dispute,
) -> str:
    """The evidence about a charge of the order.

    Args:
        items: of the order, those to be told of.
        events: of the order, the oldest first.
        happenings: what the tickets were for when they were ordered, by listing.
    """
    lines = [
        f"Order {order.id} was placed on {_moment(order.created_on)} from the customer account {order.buyer_id}.",
        "It was for:",
        *(_bought(item, happenings[item.ticket_id]) for item in items),
        f"The whole order came to {order.total}.",
        *_history(events, dispute.charge_id, {item.ticket_id: item.title for item in items}),
        "Terms of refund, as they were when the order was placed:",
        *(_terms(item) for item in items),
    ]
    return "\n".join(lines)


def _bought(item: Item, happening: EventDetails) -> str:
    what = f'{item.quantity} x "{item.title}" for "{happening.name}"'
    return f"- {what}, {_moment(happening.starts_at)}, {happening.venue}: {item.price} each"


def _terms(item: Item) -> str:
    if item.refund_until is None:
        return f'- "{item.title}": the customer cannot give it back; the seller may refund it.'
    fee = f"less {Money(item.refund_fee, item.price.currency)} each" if item.refund_fee else "without a fee"
    return f'- "{item.title}": the customer may give it back until {_moment(item.refund_until)}, {fee}.'


def _history(events: Iterable[PublishedEvent], charge_id: str, titles: Mapping[UUID, str]) -> Iterator[str]:
    """The charge, what went back (of it, or of units), and who came."""
    for event in events:
        at, data = _moment(event.time), event.data
        match data:
            case ChargeCreated() if data.charge_id == charge_id:
                yield f"The customer paid {data.money} on {at}: charge {charge_id}."
            case OrderRefunded():
                units = _units(data.taken_back, titles)
                yield f"On {at} {data.money} was decided to go back, {_WHO[data.reason]}{units}."
            case RefundCreated() if data.charge_id == charge_id:
                yield f"On {at} {data.money} of it was sent back: refund {data.refund_id}."
            case CheckInCreated():
                gate = "" if data.gate is None else f", {data.gate}"
                yield f'On {at} ticket {data.number} of "{titles[data.ticket_id]}" was used at the entrance{gate}.'


def _units(taken_back: Iterable[TakenBack], titles: Mapping[UUID, str]) -> str:
    units = [f'{back.quantity} x "{titles[back.ticket_id]}"' for back in taken_back if back.quantity]
    return f", for {' and '.join(units)}" if units else ""


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"

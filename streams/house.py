"""What the house does of its own accord, rather than because somebody asked."""

from __future__ import annotations

from uuid import UUID, uuid4

from domain.aggregate import Cause
from domain.marketplace import Ask, Marketplace
from domain.order import INTENT_CANCELED, ChargeFailure, Order
from domain.ports import Intent


def house_cause() -> Cause:
    """The cause of one command of the house's."""
    command_id = uuid4()
    return Cause(actor=None, command_id=command_id, correlation_id=command_id)


def house_ask() -> Ask[Order, int]:
    """One command about an order, answered with the order's version."""
    return Ask(house_cause(), lambda order: order.version)


async def tell_end(marketplace: Marketplace, order_id: UUID, intent: Intent) -> bool:
    """Tells an order how its intent ended: with money, of which the order decides what it completes, or without.

    Returns:
        whether it has ended; one that has not is not told of.

    Raises:
        DomainError: the order does not take it.
    """
    if intent.charge is not None:
        await marketplace.take_charge(order_id, intent.charge, house_ask())
    elif intent.status == "canceled":
        failure = ChargeFailure(intent.payment_intent_id, INTENT_CANCELED)
        await marketplace.note_failure(order_id, failure, house_ask())
    else:
        return False
    return True

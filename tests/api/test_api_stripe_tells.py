"""What the sandbox tells by itself: refunds that fail, disputes, sellers' accounts; also twice and in reverse order."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from domain.order import Order
from domain.user import User
from tests.api.house import House, eventually
from tests.api.test_api_webhooks import ask_nothing, due_refund, paid

STRAIGHT: dict[str, Any] = {}
CROOKED = {"webhook_twice": True, "webhook_reverse_order": True}


async def events(house: House, aggregate_id: str, wanted: list[str]) -> list[str]:
    """The last events, once there are those that are waited for, in whatever order."""

    async def there() -> bool:
        return set(wanted) <= set(await house.types(aggregate_id))

    await eventually(there)
    return await house.types(aggregate_id)


async def disputed(house: House, outcome: str) -> str:
    """An order whose charge a bank asked back, and what it decided; returns the order's id."""
    _, order, payment = await paid(house)
    dispute = await house.sandbox("POST", f"/_sandbox/charges/{payment['charge_id']}/dispute", {})
    await house.sandbox("POST", f"/_sandbox/disputes/{dispute['id']}/settle", {"outcome": outcome})
    return str(order["id"])


@pytest.mark.parametrize("faults", [STRAIGHT, CROOKED])
async def test_a_dispute_that_is_won(house_with_webhooks: House, faults: dict[str, Any]) -> None:
    house = house_with_webhooks
    await house.sandbox("POST", "/_sandbox/faults", faults)
    order_id = await disputed(house, "won")
    wanted = ["DisputeCreated", "DisputeFundsWithdrawn", "DisputeFundsReinstated", "DisputeClosed"]
    seen = [name for name in await events(house, order_id, wanted) if name.startswith("Dispute")]
    assert sorted(seen) == sorted(wanted)
    assert seen[0] == "DisputeCreated"
    order = await house.services.log.aggregate(Order, UUID(order_id))
    assert order is not None
    assert (order.is_disputed, order.money_left, order.status) == (False, 2500, "completed")


@pytest.mark.parametrize("faults", [STRAIGHT, CROOKED])
async def test_a_dispute_that_is_lost(house_with_webhooks: House, faults: dict[str, Any]) -> None:
    house = house_with_webhooks
    await house.sandbox("POST", "/_sandbox/faults", faults)
    order_id = await disputed(house, "lost")
    wanted = ["DisputeCreated", "DisputeFundsWithdrawn", "DisputeClosed"]
    seen = [name for name in await events(house, order_id, wanted) if name.startswith("Dispute")]
    assert sorted(seen) == sorted(wanted)
    order = await house.services.log.aggregate(Order, UUID(order_id))
    assert order is not None
    assert (order.is_disputed, order.money_left) == (False, 0)


@pytest.mark.parametrize("faults", [STRAIGHT, CROOKED])
async def test_a_refund_that_fails_is_due_again_and_then_made(
    house_with_webhooks: House, faults: dict[str, Any]
) -> None:
    house = house_with_webhooks
    seller, buyer, _, order = await house.ordered()
    assert (await house.pay(buyer, order["id"], "pm_card_refundFail")).status == 201
    await due_refund(house, seller, order)
    await house.sandbox("POST", "/_sandbox/faults", faults)
    known = await house.services.log.aggregate(Order, UUID(order["id"]))
    assert known is not None
    [due] = known.refunds
    # The worker's part, but that it never comes to tell: the webhooks alone do.
    made = await house.services.gateway.refund(known.id, due)
    assert "RefundFailed" in await events(house, order["id"], ["RefundFailed"])
    again = await house.services.log.aggregate(Order, known.id)
    assert again is not None
    [due_again] = again.refunds
    assert (due_again.refund_id, due_again.tries, due_again.status) == (None, 1, "pending")
    other = await house.services.gateway.refund(known.id, due_again)
    assert (other.number, other.refund_id == made.refund_id) == (1, False)


@pytest.mark.parametrize("faults", [STRAIGHT, CROOKED])
async def test_a_seller_who_told_stripe_everything_can_be_paid(
    house_with_webhooks: House, faults: dict[str, Any]
) -> None:
    house = house_with_webhooks
    await house.sandbox("POST", "/_sandbox/faults", faults)
    seller = await house.person("seller")
    account = await house.services.gateway.create_account(UUID(seller.id))
    await house.services.marketplace.open_account(UUID(seller.id), account.account_id, ask_nothing())
    await house.sandbox("POST", f"/_sandbox/accounts/{account.account_id}/onboard", {})
    assert (await events(house, seller.id, ["PayoutAccountUpdated"]))[-1] == "PayoutAccountUpdated"
    user = await house.services.log.aggregate(User, UUID(seller.id))
    assert user is not None
    assert (user.transfers_enabled, user.payouts_enabled) == (True, True)

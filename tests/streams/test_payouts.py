"""Refunds of paid orders and their sellers' money: decided once, moved once, whatever the provider says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from domain.errors import RefundNotAllowed
from domain.marketplace import Marketplace
from domain.money import Money
from domain.order import Order
from domain.order_disputes import DisputeWord
from domain.payouts import Dispute, Terms
from domain.records import Account
from domain.user import PayoutAccount
from projections.queries import Queries
from streams import payouts
from streams.payouts import Payouts
from tests.adapters.test_event_store import ask
from tests.domain.scenes import BUYER, SELLER
from tests.streams.test_reactions import SETTLEMENT, Scene, scene

__all__ = ["scene"]


def account(user_id: UUID) -> Account:
    return Account(user_id, f"{user_id}@example.org", "hash", "Ann")


async def seller_can_be_paid(scene: Scene, *, enabled: bool = True) -> None:
    market = scene.house.marketplace
    await market.sign_up(account(SELLER), None, ask())
    await market.open_account(SELLER, "acct_1", ask())
    await market.note_account(SELLER, PayoutAccount("acct_1", transfers_enabled=enabled), ask())


def terms(scene: Scene, given: Terms) -> None:
    scene.house.marketplace = Marketplace(scene.house.actors, 900, terms=given)


async def tick(scene: Scene, times: int = 3) -> None:
    timer = Payouts(Queries(scene.pool), scene.house.marketplace)
    for _ in range(times):
        await scene.tick()
        await timer.tick()
    await scene.tick()


async def refunded(scene: Scene, order: Order) -> None:
    await scene.house.marketplace.refund_order(order.id, SELLER, None, ask())


async def test_a_refunded_order_is_paid_back_once(scene: Scene) -> None:
    order = await scene.paid()
    await refunded(scene, order)
    for _ in range(3):
        await scene.tick()
    assert scene.provider.refunds == [f"ch_{order.id}"]
    assert scene.events(order)[-2:] == ["Refunded", "RefundCreated"]
    assert (await scene.house.ticket(order.items[0].ticket_id)).sold == 0


async def test_a_refund_that_failed_is_made_again(scene: Scene) -> None:
    order = await scene.paid()
    await refunded(scene, order)
    await scene.tick()
    await scene.house.marketplace.note_refund_failure(order.id, f"re_ch_{order.id}_0", ask())
    await scene.tick()
    assert scene.events(order)[-3:] == ["RefundCreated", "RefundFailed", "RefundCreated"]
    row = await Queries(scene.pool).order(order.id)
    assert row is not None
    assert row.refund_id == f"re_ch_{order.id}_1"


async def test_a_seller_is_paid_once_and_gives_back_what_is_refunded(scene: Scene) -> None:
    terms(scene, Terms(fee_bps=400, payouts="at_once"))
    await seller_can_be_paid(scene)
    order = await scene.paid()
    await tick(scene)
    assert [(transfer.account_id, transfer.money.amount) for transfer in scene.provider.transfers] == [("acct_1", 2400)]
    await refunded(scene, order)
    await tick(scene)
    assert [(reversal.transfer_id, reversal.money.amount) for reversal in scene.provider.reversals] == [("tr_1", 2400)]
    assert scene.events(order)[-6:] == [
        "TransferDue", "TransferCreated", "Refunded", "ReversalDue", "RefundCreated", "TransferReversed",
    ]  # fmt: skip


@pytest.mark.parametrize("enabled", [None, False])
async def test_a_seller_who_cannot_be_paid_yet_is_paid_later(scene: Scene, enabled: bool | None) -> None:
    terms(scene, Terms(payouts="at_once"))
    if enabled is False:
        await seller_can_be_paid(scene, enabled=False)
    await scene.paid()
    await tick(scene)
    assert scene.provider.transfers == []
    if enabled is None:
        await seller_can_be_paid(scene)
    else:
        await scene.house.marketplace.note_account(SELLER, PayoutAccount("acct_1", transfers_enabled=True), ask())
    await tick(scene)
    assert [transfer.money.amount for transfer in scene.provider.transfers] == [2500]


async def test_before_the_event_nobody_is_paid(scene: Scene) -> None:
    terms(scene, Terms(payouts="after_event", delay=timedelta(days=3650)))
    await seller_can_be_paid(scene)
    await scene.paid()
    await tick(scene)
    assert scene.provider.transfers == []


async def test_orders_that_cannot_be_paid_do_not_hide_the_others(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payouts, "PAGE", 2)
    terms(scene, Terms(payouts="at_once"))
    ticket_id = uuid4()
    for _ in range(3):
        await scene.paid()  # of a seller who has no account
    other = UUID(int=77)
    await scene.house.marketplace.sign_up(account(other), None, ask())
    await scene.house.marketplace.open_account(other, "acct_2", ask())
    await scene.house.marketplace.note_account(other, PayoutAccount("acct_2", transfers_enabled=True), ask())
    ticket = await scene.house.ticket(await scene.house.listed())
    await scene.house.marketplace.offer(ticket_id, other, ticket.listing, ask())
    await scene.paid(ticket_id)
    await tick(scene, 3)
    assert [transfer.seller_id for transfer in scene.provider.transfers] == [other]


async def test_stripes_fee_is_asked_for_when_it_did_not_come_with_the_charge(scene: Scene) -> None:
    scene.settles = False
    order = await scene.paid()
    await scene.tick()
    assert scene.provider.asked == [f"ch_{order.id}"]
    assert scene.attempts() == [("settle", 1, "NotYet: Stripe has not booked the charge yet")]
    scene.provider.settlements[f"ch_{order.id}"] = SETTLEMENT
    scene.next_try_is_now()
    for _ in range(2):
        await scene.tick()
    assert scene.events(order)[-1] == "ChargeSettled"
    assert len(scene.provider.asked) == 2


async def test_a_dispute_puts_a_transfer_off_until_it_is_over(scene: Scene) -> None:
    terms(scene, Terms(payouts="at_once"))
    await seller_can_be_paid(scene)
    order = await scene.paid()
    await scene.house.marketplace.release_payouts(order.id, ask())
    asked = Dispute("dp_1", f"ch_{order.id}", order.total, "fraudulent", "needs_response")
    await scene.house.marketplace.note_dispute(order.id, DisputeWord(asked, Money(1500, "EUR")), ask())
    for _ in range(4):
        await scene.tick()
    assert scene.provider.transfers == []
    ((reaction, _, error),) = scene.attempts()
    assert (reaction, error) == ("move_money", "NotYet: a bank is deciding about the money")
    won = DisputeWord(replace(asked, status="won"), Money(1500, "EUR"), reinstated=True)
    await scene.house.marketplace.note_dispute(order.id, won, ask())
    await scene.tick()
    assert [transfer.money for transfer in scene.provider.transfers] == [order.total], "without waiting longer"


async def test_the_buyer_gets_no_refund_without_terms(scene: Scene) -> None:
    order = await scene.paid()
    with pytest.raises(RefundNotAllowed):
        await scene.house.marketplace.refund_order(order.id, BUYER, None, ask())

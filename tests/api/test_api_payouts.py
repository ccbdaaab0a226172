"""A seller's money over HTTP: balances out of the ledger, the account at Stripe and the way to it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain.money import Money
from domain.order import Order
from domain.order_disputes import DisputeWord
from domain.payouts import Dispute, Terms
from domain.user import PayoutAccount
from tests.api.conftest import OpenHouse
from tests.api.house import House, Person
from tests.api.test_api_refunds import asked, bought, give_back, some

TENTH = Terms(fee_bps=1_000, payouts="at_once")


async def payouts(house: House, seller: Person) -> Any:
    answer = await house.call("GET", "/payouts", token=seller.token)
    assert answer.status == 200, answer.raw
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.body


async def balances(house: House, seller: Person) -> Any:
    await house.project()
    return (await payouts(house, seller))["balances"]


async def paid(house: House, seller: Person, order_id: str) -> None:
    """What the worker does for a seller whose account takes money."""
    marketplace, user_id = house.services.marketplace, UUID(seller.id)
    await marketplace.open_account(user_id, "acct_1", asked())
    await marketplace.note_account(user_id, PayoutAccount("acct_1", True, True, True), asked())
    order: Order = await marketplace.release_payouts(UUID(order_id), asked())
    for transfer in order.transfers:
        await marketplace.note_transfer(order.id, transfer.number, f"tr_{transfer.number}", asked())


async def disputed(house: House, order_id: str, status: str) -> Order:
    """The bank has taken the money, and the dispute stands so."""
    order: Order = await house.services.marketplace.look(UUID(order_id), asked())
    assert order.charge_id is not None
    told = Dispute("dp_1", order.charge_id, order.total, "fraudulent", status)
    word = DisputeWord(told, withdrawn_fee=Money(1500, "EUR"), reinstated=status == "won")
    after: Order = await house.services.marketplace.note_dispute(order.id, word, asked())
    return after


async def test_who_sold_nothing_has_nothing(house: House) -> None:
    seller = await house.person()
    terms = house.services.settings.terms
    expected = {"account": None, "fee_bps": terms.fee_bps, "timing": terms.payouts, "balances": []}
    assert await payouts(house, seller) == expected


async def test_a_balance_follows_the_money(open_house: OpenHouse) -> None:
    async with open_house(terms=TENTH) as house:
        seller, buyer, other = [await house.person() for _ in range(3)]
        ticket = await house.listing(seller, refund_until="2030-07-01T00:00:00Z", refund_fee=500)
        order = await bought(house, buyer, (ticket, 2), (await house.listing(other), 1))
        eur = {"currency": "EUR", "owed": 4500, "paid_out": 0, "disputed": 0}
        assert (await payouts(house, seller))["balances"] == [], "it comes with the read models"
        assert await balances(house, seller) == [eur]
        assert await balances(house, other) == [eur | {"owed": 2250}]
        yen = await house.listing(seller, price={"amount": 700, "currency": "JPY"})
        await bought(house, buyer, (yen, 1))
        jpy = {"currency": "JPY", "owed": 630, "paid_out": 0, "disputed": 0}
        assert await balances(house, seller) == [eur, jpy]

        await paid(house, seller, order["id"])
        assert await balances(house, seller) == [eur | {"owed": 0, "paid_out": 4500}, jpy]
        # 20.00 of 25.00 goes back; the seller keeps the fee of 5.00, the house a tenth of it.
        assert (await give_back(house, buyer, order["id"], some(ticket, 1))).status == 200
        assert await balances(house, seller) == [eur | {"owed": -1800, "paid_out": 4500}, jpy]
        shown = await payouts(house, seller)
        assert (shown["fee_bps"], shown["timing"]) == (1_000, "at_once")


async def test_what_a_bank_holds_is_disputed(open_house: OpenHouse) -> None:
    async with open_house(terms=TENTH) as house:
        seller, buyer, other = [await house.person() for _ in range(3)]
        won = await bought(house, buyer, (await house.listing(seller), 1), (await house.listing(other), 1))
        lost = await bought(house, buyer, (await house.listing(seller), 2))
        await paid(house, seller, lost["id"])
        eur = {"currency": "EUR", "owed": 2250, "paid_out": 4500, "disputed": 0}
        assert await balances(house, seller) == [eur]
        for order in (won, lost):
            await disputed(house, order["id"], "needs_response")
        assert await balances(house, seller) == [eur | {"disputed": 6750}]
        assert await balances(house, other) == [{"currency": "EUR", "owed": 2250, "paid_out": 0, "disputed": 2250}]
        await disputed(house, won["id"], "won")
        assert await balances(house, seller) == [eur | {"disputed": 4500}]
        after = await disputed(house, lost["id"], "lost")
        assert await balances(house, seller) == [eur | {"owed": -2250}]
        for reversal in after.reversals:
            await house.services.marketplace.note_reversal(after.id, reversal.number, "trr_1", asked())
        assert await balances(house, seller) == [eur | {"paid_out": 0}]

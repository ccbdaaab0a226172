"""A seller's money over HTTP: balances out of the ledger, the account at Stripe and the way to it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from api import account_looks, limits
from api.limits import Rule
from domain.money import Money
from domain.order import Order
from domain.order_disputes import DisputeWord
from domain.payouts import Dispute, Terms
from domain.user import PayoutAccount, User
from tests.api.conftest import OpenHouse
from tests.api.house import Answer, House, Person
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


async def opened(house: House, seller: Person) -> Answer:
    return await house.call("POST", "/payouts/account", token=seller.token)


async def account_id(house: House, seller: Person) -> str | None:
    user = await house.services.log.aggregate(User, UUID(seller.id))
    assert user is not None
    return user.account_id


NEW = {"details_submitted": False, "transfers_enabled": False, "payouts_enabled": False}
READY = {"details_submitted": True, "transfers_enabled": True, "payouts_enabled": True}


async def test_a_seller_opens_one_account_and_gets_a_link_each_time(open_house: OpenHouse) -> None:
    async with open_house(public_url="https://tickets.example.org") as house:
        seller = await house.person()
        first = await opened(house, seller)
        assert (first.status, set(first.body)) == (201, {"url", "expires_at"})
        assert first.headers["Cache-Control"] == "no-store"
        assert datetime.fromisoformat(first.body["expires_at"]) > datetime.now(UTC)
        made = await account_id(house, seller)
        assert made is not None
        assert (await payouts(house, seller))["account"] == NEW
        again = await opened(house, seller)
        assert again.body["url"] != first.body["url"]
        assert await account_id(house, seller) == made
        assert await house.types(seller.id) == ["UserCreated", "PayoutAccountCreated"]
        # Where Stripe sends the seller when they are done; the second visit of a link is one too many.
        async with aiohttp.ClientSession() as browser:
            async with browser.get(first.body["url"]) as page:
                assert page.status == 200
            async with browser.get(first.body["url"], allow_redirects=False) as back:
                assert back.headers["Location"] == "https://tickets.example.org/sell#money"


async def test_two_at_once_open_one_account(house: House) -> None:
    seller = await house.person()
    answers = await asyncio.gather(*(opened(house, seller) for _ in range(4)))
    assert [answer.status for answer in answers] == [201] * 4
    assert await house.types(seller.id) == ["UserCreated", "PayoutAccountCreated"]
    assert len((await house.sandbox("GET", "/v1/accounts"))["data"]) == 1


async def test_a_house_that_pays_by_other_means_opens_none(open_house: OpenHouse) -> None:
    async with open_house(terms=Terms()) as house:
        seller = await house.person()
        refused = await opened(house, seller)
        assert (refused.status, refused.code) == (409, "payouts_off")
        shown = await payouts(house, seller)
        assert (shown["timing"], shown["account"]) == ("off", None)
        assert await house.types(seller.id) == ["UserCreated"]


async def test_how_the_account_stands_is_asked_until_it_is_ready(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No webhook comes here: it is asked for, and not each time the page is read."""
    monkeypatch.setattr(account_looks, "LOOKS_PER_ACCOUNT", Rule(burst=1, per_second=0.5))
    looks: list[str] = []
    async with open_house() as house:
        gateway, fetch = house.services.gateway, house.services.gateway.fetch_account

        async def counted(account: str) -> PayoutAccount:
            looks.append(account)
            return await fetch(account)

        monkeypatch.setattr(gateway, "fetch_account", counted)
        seller = await house.person()
        assert (await opened(house, seller)).status == 201
        shown = await asyncio.gather(*(payouts(house, seller) for _ in range(5)))
        assert [one["account"] for one in shown] == [NEW] * 5
        await house.sandbox("POST", f"/_sandbox/accounts/{looks[0]}/onboard")
        assert (await payouts(house, seller))["account"] == NEW, "it was asked for a moment ago"
        assert len(looks) == 1
        await asyncio.sleep(2.1)
        for _ in range(2):
            assert (await payouts(house, seller))["account"] == READY
        await asyncio.sleep(2.1)
        assert (await payouts(house, seller))["account"] == READY
        assert len(looks) == 2, "who is ready is asked about no more"
        updated = (await house.services.log.history(UUID(seller.id)))[-1]
        assert (updated.type, updated.cause.actor) == ("PayoutAccountUpdated", None)


async def test_while_stripe_is_away_what_was_heard_is_shown(open_house: OpenHouse) -> None:
    async with open_house() as house, open_house(stripe_api_base="http://127.0.0.1:9") as cut_off:
        seller, other = await house.person(), await house.person()
        assert (await opened(house, seller)).status == 201
        assert (await payouts(cut_off, seller))["account"] == NEW
        refused = await opened(cut_off, other)
        assert (refused.status, refused.code) == (503, "payment_unavailable")
        assert await house.types(other.id) == ["UserCreated"]


async def test_links_are_made_so_often(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ONBOARDINGS_PER_ACCOUNT", Rule(burst=2, per_second=0.1))
    async with open_house(rate_limit=True) as house:
        seller = await house.person()
        assert [(await opened(house, seller)).status for _ in range(3)] == [201, 201, 429]

"""What the gateway promises, held against the sandbox and, with a test key, against Stripe itself.

    STAGEDOOR_TEST_STRIPE_KEY=sk_test_… make long

A key that could move real money is refused. Stripe's account must have Connect; what these tests make there stays.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from adapters.settings import Settings
from adapters.stripe_client import API_VERSION
from adapters.stripe_gateway import StripeGateway
from domain.errors import Invalid
from domain.money import Money
from domain.order import Charge, Settlement
from domain.payouts import Refund
from domain.ports import BookedCharge, BookedRefund
from sandbox.server import make_app as make_sandbox
from tests.api.house import serving

KEY = os.environ.get("STAGEDOOR_TEST_STRIPE_KEY", "")
STRIPE = "https://api.stripe.com"
PRICE = Money(2500, "EUR")
LOOKS, LOOK_SECONDS = 40, 0.5
"""How often it is asked: Stripe books a charge a moment after it took the money."""

PROVIDERS = [
    "sandbox",
    pytest.param(
        "stripe",
        marks=[
            pytest.mark.long,
            pytest.mark.skipif(not KEY, reason="Stripe itself was NOT asked: STAGEDOOR_TEST_STRIPE_KEY is not set"),
        ],
    ),
]


@dataclass
class Provider:
    """Somebody who speaks Stripe's API, and this house's gateway to them."""

    gateway: StripeGateway
    url: str
    key: str
    session: aiohttp.ClientSession

    async def by_hand(self, path: str, **form: str) -> Any:
        """A request that is not the gateway's; returns the object."""
        headers = {"Authorization": f"Bearer {self.key}", "Stripe-Version": API_VERSION}
        async with self.session.post(self.url + path, data=form, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def paid(self, order_id: UUID | None = None) -> Charge:
        intent = await self.gateway.create_intent(order_id or uuid4(), PRICE)
        paid = await self.gateway.confirm(intent.payment_intent_id, "pm_card_visa", uuid4().hex)
        assert paid.charge is not None
        return paid.charge

    async def settlement(self, charge_id: str) -> Settlement:
        for _ in range(LOOKS):
            if (booked := await self.gateway.settlement(charge_id)) is not None:
                return booked
            await asyncio.sleep(LOOK_SECONDS)
        raise AssertionError("the charge was not booked")


@pytest.fixture(params=PROVIDERS)
async def provider(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Provider]:
    if request.param == "stripe":
        if not KEY.startswith(("sk_test_", "rk_test_")):
            pytest.fail("STAGEDOOR_TEST_STRIPE_KEY must be a test key", pytrace=False)
        async with opened(STRIPE, KEY) as one:
            yield one
        return
    key = "sk_test_gateway"
    app = make_sandbox(state_path=tmp_path / "s", secret_key=key, webhook_url=None, webhook_secret="whsec")
    async with serving(app) as url, opened(url, key) as one:
        yield one


@asynccontextmanager
async def opened(url: str, key: str) -> AsyncIterator[Provider]:
    settings = Settings.from_environment({"STRIPE_SECRET_KEY": key, "STRIPE_API_BASE": url})
    async with aiohttp.ClientSession() as session:
        gateway = StripeGateway(settings)
        yield Provider(gateway, url, key, session)
        await gateway.close()


# Payments ------------------------------------------------------------------------------------------------------------


async def test_an_order_has_one_intent_however_often_it_is_asked_for(provider: Provider) -> None:
    order_id = uuid4()
    intents = [await provider.gateway.create_intent(order_id, PRICE) for _ in range(2)]
    assert intents[0] == intents[1]
    assert (intents[0].status, intents[0].charge, intents[0].failure) == ("requires_payment_method", None, None)
    assert intents[0].client_secret.startswith(intents[0].payment_intent_id)
    assert await provider.gateway.order_of(intents[0].payment_intent_id) == order_id


async def test_a_good_card_is_charged_once_for_an_attempt(provider: Provider) -> None:
    intent = await provider.gateway.create_intent(uuid4(), PRICE)
    attempt = uuid4().hex
    paid = [await provider.gateway.confirm(intent.payment_intent_id, "pm_card_visa", attempt) for _ in range(2)]
    assert paid[0] == paid[1]
    assert paid[0].status == "succeeded"
    assert paid[0].charge is not None
    assert (paid[0].charge.payment_intent_id, paid[0].charge.money) == (intent.payment_intent_id, PRICE)
    seen = await provider.gateway.fetch(intent.payment_intent_id)
    assert seen.charge is not None
    assert seen.charge.charge_id == paid[0].charge.charge_id


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
    ],
)
async def test_a_refused_card_is_an_answer(provider: Provider, card: str, code: str, decline_code: str) -> None:
    intent = await provider.gateway.create_intent(uuid4(), PRICE)
    declined = await provider.gateway.confirm(intent.payment_intent_id, card, uuid4().hex)
    assert (declined.status, declined.charge) == ("requires_payment_method", None)
    assert declined.failure is not None
    assert (declined.failure.code, declined.failure.decline_code) == (code, decline_code)
    assert declined.failure.charge_id is not None
    assert declined.failure.payment_intent_id == intent.payment_intent_id
    again = await provider.gateway.confirm(intent.payment_intent_id, "pm_card_visa", uuid4().hex)
    assert (again.status, again.failure) == ("succeeded", None)


async def test_a_card_that_needs_the_buyer(provider: Provider) -> None:
    intent = await provider.gateway.create_intent(uuid4(), PRICE)
    waiting = await provider.gateway.confirm(intent.payment_intent_id, "pm_card_authenticationRequired", uuid4().hex)
    assert (waiting.status, waiting.charge, waiting.failure) == ("requires_action", None, None)


async def test_an_unknown_payment_method_is_the_clients_mistake(provider: Provider) -> None:
    intent = await provider.gateway.create_intent(uuid4(), PRICE)
    with pytest.raises(Invalid) as refused:
        await provider.gateway.confirm(intent.payment_intent_id, "pm_nobody_knows", uuid4().hex)
    assert refused.value.field == "payment_method"


async def test_what_cannot_be_confirmed_any_more_comes_back_as_it_is(provider: Provider) -> None:
    charge = await provider.paid()
    again = await provider.gateway.confirm(charge.payment_intent_id, "pm_card_mastercard", uuid4().hex)
    assert again.charge is not None
    assert (again.status, again.charge.charge_id) == ("succeeded", charge.charge_id)
    closed = await provider.gateway.create_intent(uuid4(), PRICE)
    await provider.gateway.cancel(closed.payment_intent_id)
    assert (await provider.gateway.confirm(closed.payment_intent_id, "pm_card_visa", uuid4().hex)).status == "canceled"


async def test_closing_an_intent(provider: Provider) -> None:
    intent = await provider.gateway.create_intent(uuid4(), PRICE)
    assert (await provider.gateway.cancel(intent.payment_intent_id)).status == "canceled"
    assert (await provider.gateway.cancel(intent.payment_intent_id)).status == "canceled"
    charge = await provider.paid()
    late = await provider.gateway.cancel(charge.payment_intent_id)
    assert late.charge is not None
    assert (late.status, late.charge.charge_id) == ("succeeded", charge.charge_id)


async def test_an_intent_of_another_house(provider: Provider) -> None:
    foreign = await provider.by_hand("/v1/payment_intents", amount="100", currency="eur")
    assert await provider.gateway.order_of(foreign["id"]) is None


async def test_what_stripe_keeps_of_a_charge(provider: Provider) -> None:
    charge = await provider.paid()
    booked = await provider.settlement(charge.charge_id)
    assert booked.fee.currency == booked.net.currency
    assert booked.fee.amount > 0
    assert booked.net.amount > 0
    seen = await provider.gateway.fetch(charge.payment_intent_id)
    assert seen.charge is not None
    assert seen.charge.settlement == booked


# Refunds -------------------------------------------------------------------------------------------------------------


async def test_money_goes_back_in_parts_each_once(provider: Provider) -> None:
    order_id, charge = uuid4(), await provider.paid()
    first = Refund(1, charge.charge_id, Money(1000, "EUR"), "buyer")
    rest = Refund(2, charge.charge_id, Money(1500, "EUR"), "seller")
    made = [await provider.gateway.refund(order_id, one) for one in (first, first, rest, first, rest)]
    assert (made[0].number, made[0].charge_id, made[0].money) == (1, charge.charge_id, first.money)
    assert (made[2].number, made[2].money) == (2, rest.money)
    assert made == [made[0], made[0], made[2], made[0], made[2]]
    known = await provider.gateway.find_refund(made[0].refund_id)
    assert known is not None
    assert (known.refund, known.failed) == (made[0], False)


async def test_a_refund_is_known_by_its_metadata_when_its_key_is_forgotten(provider: Provider) -> None:
    order_id, charge = uuid4(), await provider.paid()
    tags = {"metadata[order_id]": str(order_id), "metadata[refund]": "1", "metadata[tries]": "0"}
    older = await provider.by_hand("/v1/refunds", charge=charge.charge_id, amount="1000", **tags)
    made = await provider.gateway.refund(order_id, Refund(1, charge.charge_id, Money(1000, "EUR"), "buyer"))
    assert (made.refund_id, made.number, made.tries) == (older["id"], 1, 0)
    other = await provider.gateway.refund(order_id, Refund(1, charge.charge_id, Money(1000, "EUR"), "buyer", tries=1))
    assert other.refund_id != older["id"]
    assert other.tries == 1


async def test_what_was_sent_back_at_stripe_is_not_sent_again(provider: Provider) -> None:
    charge = await provider.paid()
    by_hand = await provider.by_hand("/v1/refunds", charge=charge.charge_id)
    made = await provider.gateway.refund(uuid4(), Refund(1, charge.charge_id, PRICE, "cancelled"))
    assert (made.refund_id, made.number, made.money) == (by_hand["id"], None, PRICE)


# Sellers' accounts ---------------------------------------------------------------------------------------------------


async def test_a_seller_has_one_account_however_often_it_is_asked_for(provider: Provider) -> None:
    user_id = uuid4()
    accounts = [await provider.gateway.create_account(user_id) for _ in range(2)]
    assert accounts[0] == accounts[1]
    assert (accounts[0].transfers_enabled, accounts[0].payouts_enabled, accounts[0].details_submitted) == (False,) * 3
    assert await provider.gateway.fetch_account(accounts[0].account_id) == accounts[0]
    link = await provider.gateway.onboarding_link(
        accounts[0].account_id, return_url="https://house.example/back", refresh_url="https://house.example/again"
    )
    assert link.url.startswith("http")
    assert link.expires_at > datetime.now(UTC)


# Books ---------------------------------------------------------------------------------------------------------------


async def test_the_books_have_what_was_made_in_a_time(provider: Provider) -> None:
    before, order_id = datetime.now(UTC) - timedelta(minutes=5), uuid4()
    charge = await provider.paid(order_id)
    refused = await provider.gateway.create_intent(uuid4(), PRICE)
    await provider.gateway.confirm(refused.payment_intent_id, "pm_card_chargeDeclined", uuid4().hex)
    made = await provider.gateway.refund(order_id, Refund(1, charge.charge_id, Money(1000, "EUR"), "buyer"))
    after = datetime.now(UTC) + timedelta(minutes=5)
    charges: list[BookedCharge] = [one async for one in provider.gateway.charges(before, after)]
    [mine] = [one for one in charges if one.order_id == order_id]
    assert (mine.charge.charge_id, mine.charge.money) == (charge.charge_id, PRICE)
    assert before < mine.created_at < after
    assert not [one for one in charges if one.charge.payment_intent_id == refused.payment_intent_id]
    refunds: list[BookedRefund] = [one async for one in provider.gateway.refunds(before, after)]
    [back] = [one for one in refunds if one.refund.refund_id == made.refund_id]
    assert (back.refund, back.payment_intent_id, back.failed) == (made, charge.payment_intent_id, False)
    assert [one async for one in provider.gateway.charges(after, after + timedelta(hours=1))] == []

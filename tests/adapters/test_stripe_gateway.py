"""The Stripe gateway, against the sandbox on a real port: what is sent, what is answered, what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web

from adapters.settings import Settings, SettingsError
from adapters.stripe_client import API_VERSION
from adapters.stripe_gateway import StripeGateway
from domain.errors import Invalid
from domain.money import Money
from domain.order import Charge
from domain.payouts import Refund, Reversal, Transfer
from domain.ports import PaymentUnavailable
from sandbox.server import make_app as make_sandbox
from tests.api.house import serving

SECRET_KEY = "sk_test_gateway"
PRICE = Money(2500, "EUR")
ORDER_ID, USER_ID = UUID(int=7), UUID(int=8)
REFUND = Refund(2, "ch_1", Money(1000, "EUR"), "buyer", tries=1)
TRANSFER = Transfer(1, USER_ID, "acct_1", Money(900, "EUR"), "ch_1")
REVERSAL = Reversal(1, USER_ID, "tr_1", Money(400, "EUR"))
NOVEMBER = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


def gateway_to(url: str) -> StripeGateway:
    return StripeGateway(Settings.from_environment({"STRIPE_SECRET_KEY": SECRET_KEY, "STRIPE_API_BASE": url}))


@dataclass
class Scene:
    """A gateway, and the sandbox behind it."""

    gateway: StripeGateway
    url: str
    session: aiohttp.ClientSession

    async def sandbox(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Bearer {SECRET_KEY}"}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as answer:
            return await answer.json()

    async def paid(self) -> Charge:
        intent = await self.gateway.create_intent(uuid4(), PRICE)
        paid = await self.gateway.confirm(intent.payment_intent_id, "pm_card_visa", uuid4().hex)
        assert paid.charge is not None
        return paid.charge


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    app = make_sandbox(state_path=tmp_path / "s", secret_key=SECRET_KEY, webhook_url=None, webhook_secret="whsec")
    async with serving(app) as url, aiohttp.ClientSession() as session:
        gateway = gateway_to(url)
        yield Scene(gateway, url, session)
        await gateway.close()


async def test_an_order_has_one_intent_however_often_it_is_asked_for(scene: Scene) -> None:
    order_id = uuid4()
    intents = [await scene.gateway.create_intent(order_id, PRICE) for _ in range(2)]
    assert intents[0] == intents[1]
    assert (intents[0].status, intents[0].charge, intents[0].failure) == ("requires_payment_method", None, None)
    seen = await scene.sandbox("GET", f"/v1/payment_intents/{intents[0].payment_intent_id}")
    assert (seen["amount"], seen["currency"], seen["payment_method_types"]) == (2500, "eur", ["card"])
    assert seen["metadata"] == {"order_id": str(order_id)}
    assert intents[0].client_secret == seen["client_secret"]


async def test_a_good_card_is_charged_once_for_an_attempt(scene: Scene) -> None:
    intent = await scene.gateway.create_intent(uuid4(), PRICE)
    paid = [await scene.gateway.confirm(intent.payment_intent_id, "pm_card_visa", "a1") for _ in range(2)]
    assert paid[0] == paid[1]
    assert paid[0].status == "succeeded"
    assert paid[0].charge is not None
    assert (paid[0].charge.payment_intent_id, paid[0].charge.money) == (intent.payment_intent_id, PRICE)
    assert (await scene.sandbox("GET", "/_sandbox/state"))["charges"]["succeeded"] == 1
    assert await scene.gateway.fetch(intent.payment_intent_id) == paid[0]


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ],
)
async def test_a_refused_card_is_an_answer(scene: Scene, card: str, code: str, decline_code: str) -> None:
    intent = await scene.gateway.create_intent(uuid4(), PRICE)
    declined = await scene.gateway.confirm(intent.payment_intent_id, card, "a1")
    assert (declined.status, declined.charge) == ("requires_payment_method", None)
    assert declined.failure is not None
    assert (declined.failure.code, declined.failure.decline_code) == (code, decline_code)
    assert declined.failure.charge_id is not None
    assert declined.failure.payment_intent_id == intent.payment_intent_id
    again = await scene.gateway.confirm(intent.payment_intent_id, "pm_card_visa", "a2")
    assert (again.status, again.failure) == ("succeeded", None)


async def test_a_card_that_needs_the_buyer(scene: Scene) -> None:
    intent = await scene.gateway.create_intent(uuid4(), PRICE)
    waiting = await scene.gateway.confirm(intent.payment_intent_id, "pm_card_authenticationRequired", "a1")
    assert (waiting.status, waiting.charge, waiting.failure) == ("requires_action", None, None)


async def test_an_unknown_payment_method_is_the_clients_mistake(scene: Scene) -> None:
    intent = await scene.gateway.create_intent(uuid4(), PRICE)
    with pytest.raises(Invalid) as refused:
        await scene.gateway.confirm(intent.payment_intent_id, "pm_nobody_knows", "a1")
    assert refused.value.field == "payment_method"


async def test_what_cannot_be_confirmed_any_more_comes_back_as_it_is(scene: Scene) -> None:
    charge = await scene.paid()
    again = await scene.gateway.confirm(charge.payment_intent_id, "pm_card_mastercard", "another attempt")
    assert (again.status, again.charge) == ("succeeded", charge)
    closed = await scene.gateway.create_intent(uuid4(), PRICE)
    await scene.gateway.cancel(closed.payment_intent_id)
    assert (await scene.gateway.confirm(closed.payment_intent_id, "pm_card_visa", "a1")).status == "canceled"


async def test_closing_an_intent(scene: Scene) -> None:
    intent = await scene.gateway.create_intent(uuid4(), PRICE)
    assert (await scene.gateway.cancel(intent.payment_intent_id)).status == "canceled"
    assert (await scene.gateway.cancel(intent.payment_intent_id)).status == "canceled"
    charge = await scene.paid()
    late = await scene.gateway.cancel(charge.payment_intent_id)
    assert (late.status, late.charge) == ("succeeded", charge)


async def test_a_charge_goes_back_once(scene: Scene) -> None:
    charge = await scene.paid()
    assert await scene.gateway.refund(charge) == await scene.gateway.refund(charge)
    assert (await scene.sandbox("GET", "/_sandbox/state"))["refunded"] == {"eur": 2500}


async def test_a_refund_whose_key_stripe_has_forgotten_is_looked_up(scene: Scene) -> None:
    charge = await scene.paid()
    async with scene.session.post(
        f"{scene.url}/v1/refunds",
        data={"charge": charge.charge_id},
        headers={"Authorization": f"Bearer {SECRET_KEY}"},
    ) as answer:
        by_hand = (await answer.json())["id"]
    assert await scene.gateway.refund(charge) == by_hand


async def test_which_order_was_paid(scene: Scene) -> None:
    order_id = uuid4()
    intent = await scene.gateway.create_intent(order_id, PRICE)
    await scene.gateway.confirm(intent.payment_intent_id, "pm_card_visa", "a1")
    assert await scene.gateway.order_of(intent.payment_intent_id) == (order_id, PRICE)
    async with scene.session.post(
        f"{scene.url}/v1/payment_intents",
        data={"amount": "1", "currency": "eur"},
        headers={"Authorization": f"Bearer {SECRET_KEY}"},
    ) as answer:
        foreign = (await answer.json())["id"]
    assert await scene.gateway.order_of(foreign) is None


# What goes wrong -----------------------------------------------------------------------------------------------------


async def test_an_answer_lost_after_charging_is_asked_for_again(scene: Scene) -> None:
    intent = await scene.gateway.create_intent(uuid4(), PRICE)
    await scene.sandbox("POST", "/_sandbox/faults", {"answer_lost_after_charging": 1})
    paid = await scene.gateway.confirm(intent.payment_intent_id, "pm_card_visa", "a1")
    assert paid.status == "succeeded"
    assert (await scene.sandbox("GET", "/_sandbox/state"))["charges"]["succeeded"] == 1


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_stripe_in_trouble_is_unavailable_and_then_not_any_more(scene: Scene, status: int) -> None:
    await scene.sandbox("POST", "/_sandbox/faults", {"fail_next": {"status": status, "count": 2}})
    with pytest.raises(PaymentUnavailable):
        await scene.gateway.create_intent(uuid4(), PRICE)
    await scene.sandbox("DELETE", "/_sandbox/faults")
    assert (await scene.gateway.create_intent(uuid4(), PRICE)).status == "requires_payment_method"


async def test_one_failure_is_tried_again(scene: Scene) -> None:
    await scene.sandbox("POST", "/_sandbox/faults", {"fail_next": {"status": 500, "count": 1}})
    assert (await scene.gateway.create_intent(uuid4(), PRICE)).status == "requires_payment_method"


async def test_every_method_says_that_stripe_is_away() -> None:
    gateway = gateway_to("http://127.0.0.1:1")

    async def read(books: AsyncIterator[object]) -> None:
        async for _ in books:
            raise AssertionError("nothing can be read")

    results = await asyncio.gather(
        gateway.create_intent(ORDER_ID, PRICE),
        gateway.confirm("pi_1", "pm_card_visa", "a1"),
        gateway.fetch("pi_1"),
        gateway.cancel("pi_1"),
        gateway.settlement("ch_1"),
        gateway.refund(ORDER_ID, REFUND),
        gateway.transfer(ORDER_ID, TRANSFER),
        gateway.reverse(ORDER_ID, REVERSAL),
        gateway.create_account(USER_ID),
        gateway.fetch_account("acct_1"),
        gateway.onboarding_link("acct_1", return_url="https://house.example/r", refresh_url="https://house.example/f"),
        gateway.order_of("pi_1"),
        read(gateway.charges(*NOVEMBER)),
        read(gateway.refunds(*NOVEMBER)),
        return_exceptions=True,
    )
    await gateway.close()
    assert [type(result) for result in results] == [PaymentUnavailable] * 14


async def test_a_wrong_key_or_an_unknown_intent_is_not_the_buyers_fault(scene: Scene) -> None:
    stranger = StripeGateway(Settings.from_environment({"STRIPE_SECRET_KEY": "sk_no", "STRIPE_API_BASE": scene.url}))
    for call in (
        stranger.create_intent(uuid4(), PRICE),
        scene.gateway.fetch("pi_nobody"),
        scene.gateway.cancel("pi_x"),
    ):
        with pytest.raises(PaymentUnavailable):
            await call
    await stranger.close()


async def test_a_stripe_that_does_not_answer_is_not_waited_for_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.stripe_client.CALL_SECONDS", 0.3)
    await scene.sandbox("POST", "/_sandbox/faults", {"delay_ms": 2_000})
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(PaymentUnavailable):
        await scene.gateway.create_intent(uuid4(), PRICE)
    assert loop.time() - started < 1.5


@pytest.mark.parametrize(
    "body", ["", "<html>", "{}", '{"id": "pi_1"}', '{"id": "pi_1", "status": 7, "amount": 1, "currency": "eur"}']
)
async def test_an_answer_that_is_none_is_no_payment(body: str) -> None:
    """A proxy's page, half an object: never taken for an intent."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    async with serving(app) as url:
        gateway = gateway_to(url)
        with pytest.raises(PaymentUnavailable):
            await gateway.create_intent(UUID(int=1), PRICE)
        await gateway.close()


async def test_what_is_sent_is_versioned_and_keyed() -> None:
    """The very headers and parameters, as they go over the wire."""
    seen: list[tuple[str, str, str | None, str]] = []

    async def note(request: web.Request) -> web.Response:
        headers, sent = request.headers, await request.text() or request.query_string
        assert headers["Stripe-Version"] == API_VERSION
        seen.append((request.method, request.path, headers.get("Idempotency-Key"), unquote(sent)))
        if request.method == "GET":
            return web.json_response({"object": "list", "data": [], "has_more": False})
        some = {"id": "x_1", "object": "x", "status": "x", "amount": 2500, "currency": "eur", "charge": "ch_1"}
        return web.json_response(some | {"url": "https://connect.example", "expires_at": 1, "metadata": {}})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", note)
    async with serving(app) as url:
        gateway = gateway_to(url)
        await gateway.create_intent(ORDER_ID, PRICE)
        await gateway.confirm("pi_1", "pm_card_visa", "attempt-1")
        await gateway.refund(ORDER_ID, REFUND)
        await gateway.transfer(ORDER_ID, TRANSFER)
        await gateway.reverse(ORDER_ID, REVERSAL)
        await gateway.create_account(USER_ID)
        await gateway.onboarding_link("acct_1", return_url="https://h.example/r", refresh_url="https://h.example/f")
        await gateway.close()
    number = f"metadata[order_id]={ORDER_ID}&metadata[seller_id]={USER_ID}&metadata[number]"
    assert seen == [
        (
            "POST",
            "/v1/payment_intents",
            f"order-{ORDER_ID}-intent",
            f"amount=2500&currency=eur&payment_method_types[0]=card&metadata[order_id]={ORDER_ID}",
        ),
        (
            "POST",
            "/v1/payment_intents/pi_1/confirm",
            "attempt-1",
            "payment_method=pm_card_visa&expand[0]=latest_charge.balance_transaction",
        ),
        ("GET", "/v1/refunds", None, "charge=ch_1&limit=100"),
        (
            "POST",
            "/v1/refunds",
            f"order-{ORDER_ID}-refund-2-1",
            f"charge=ch_1&amount=1000&metadata[order_id]={ORDER_ID}&metadata[refund]=2&metadata[tries]=1",
        ),
        ("GET", "/v1/transfers", None, f"transfer_group={ORDER_ID}&limit=100"),
        (
            "POST",
            "/v1/transfers",
            f"order-{ORDER_ID}-transfer-1",
            f"amount=900&currency=eur&destination=acct_1&source_transaction=ch_1&transfer_group={ORDER_ID}&{number}=1",
        ),
        ("GET", "/v1/transfers/tr_1/reversals", None, "limit=100"),
        ("POST", "/v1/transfers/tr_1/reversals", f"order-{ORDER_ID}-reversal-1", f"amount=400&{number}=1"),
        (
            "POST",
            "/v1/accounts",
            f"account-{USER_ID}",
            "controller[fees][payer]=application&controller[losses][payments]=application"
            "&controller[stripe_dashboard][type]=express&capabilities[transfers][requested]=true"
            f"&metadata[user_id]={USER_ID}",
        ),
        (
            "POST",
            "/v1/account_links",
            seen[-1][2],
            "account=acct_1&type=account_onboarding&return_url=https://h.example/r&refresh_url=https://h.example/f",
        ),
    ]


async def test_a_list_that_does_not_end_is_left() -> None:
    """A page that says there is more, and is the same again."""
    page = {"object": "list", "data": [{"id": "tr_1", "metadata": {}}], "has_more": True}

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(page)

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    async with serving(app) as url:
        gateway = gateway_to(url)
        with pytest.raises(PaymentUnavailable):
            await gateway.transfer(ORDER_ID, TRANSFER)
        await gateway.close()


def test_without_a_key_it_says_which_setting_is_missing() -> None:
    with pytest.raises(SettingsError, match="STRIPE_SECRET_KEY"):
        StripeGateway(Settings.from_environment({}))

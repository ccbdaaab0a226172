"""The Stripe gateway, against the sandbox on a real port: what is sent, what is answered, what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web

from adapters.settings import Settings, SettingsError
from adapters.stripe_client import API_VERSION, NEXT_KEY_SECONDS
from adapters.stripe_gateway import StripeGateway
from domain.money import Money
from domain.order import Charge
from domain.payouts import Refund, Reversal, Transfer
from domain.ports import PaymentUnavailable
from sandbox.server import make_app as make_sandbox
from tests.api.house import eventually, serving

SECRET_KEY = "sk_test_gateway"
PRICE = Money(2500, "EUR")
ORDER_ID, USER_ID = UUID(int=7), UUID(int=8)
REFUND = Refund(2, "ch_1", Money(1000, "EUR"), "buyer", tries=1)
TRANSFER = Transfer(1, USER_ID, "acct_1", Money(900, "EUR"), "ch_1")
REVERSAL = Reversal(1, USER_ID, "tr_1", Money(400, "EUR"))
ANY_TIME = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


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

    async def by_hand(self, path: str, form: dict[str, str]) -> Any:
        """A request that is not the gateway's, and carries no key; returns the object."""
        headers = {"Authorization": f"Bearer {SECRET_KEY}"}
        async with self.session.post(self.url + path, data=form, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
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


async def test_the_intent_is_of_the_order_and_for_cards(scene: Scene) -> None:
    order_id = uuid4()
    intent = await scene.gateway.create_intent(order_id, PRICE)
    seen = await scene.sandbox("GET", f"/v1/payment_intents/{intent.payment_intent_id}")
    assert (seen["amount"], seen["currency"], seen["payment_method_types"]) == (2500, "eur", ["card"])
    assert seen["metadata"] == {"order_id": str(order_id)}
    assert intent.client_secret == seen["client_secret"]


async def test_an_attempt_charges_once_and_a_refund_goes_back_once(scene: Scene) -> None:
    intent = await scene.gateway.create_intent(ORDER_ID, PRICE)
    for _ in range(2):
        paid = await scene.gateway.confirm(intent.payment_intent_id, "pm_card_visa", "a1")
    assert paid.charge is not None
    for number in (1, 1, 2, 1, 2):
        await scene.gateway.refund(ORDER_ID, replace(REFUND, number=number, charge_id=paid.charge.charge_id))
    state = await scene.sandbox("GET", "/_sandbox/state")
    assert (state["charges"]["succeeded"], state["refunded"]) == (1, {"eur": 2000})


async def test_a_refund_that_failed_is_made_anew_by_its_next_try(scene: Scene) -> None:
    intent = await scene.gateway.create_intent(ORDER_ID, PRICE)
    paid = await scene.gateway.confirm(intent.payment_intent_id, "pm_card_refundFail", "a1")
    assert paid.charge is not None
    due = replace(REFUND, charge_id=paid.charge.charge_id, tries=0)
    first = await scene.gateway.refund(ORDER_ID, due)

    async def failed() -> bool:
        known = await scene.gateway.find_refund(first.refund_id)
        return known is not None and known.failed

    assert await eventually(failed)
    again = await scene.gateway.refund(ORDER_ID, replace(due, tries=1))
    assert (again.refund_id != first.refund_id, again.number, again.tries) == (True, REFUND.number, 1)
    books = [one async for one in scene.gateway.refunds(*ANY_TIME)]
    assert [(one.refund.refund_id, one.failed) for one in books] == [(again.refund_id, False), (first.refund_id, True)]


async def test_a_seller_is_paid_once_and_gives_back_once(scene: Scene) -> None:
    charge, account = await scene.paid(), await scene.gateway.create_account(USER_ID)
    due = replace(TRANSFER, account_id=account.account_id, charge_id=charge.charge_id)
    with pytest.raises(PaymentUnavailable):
        await scene.gateway.transfer(ORDER_ID, due)  # nobody has told Stripe who the seller is
    await scene.sandbox("POST", f"/_sandbox/accounts/{account.account_id}/onboard")
    ready = await scene.gateway.fetch_account(account.account_id)
    assert (ready.transfers_enabled, ready.payouts_enabled, ready.details_submitted) == (True, True, True)
    second = replace(due, number=2, money=Money(100, "EUR"))
    sent = [await scene.gateway.transfer(ORDER_ID, one) for one in (due, due, second, due)]
    assert sent == [sent[0], sent[0], sent[2], sent[0]]
    back = replace(REVERSAL, transfer_id=sent[0])
    rest = replace(back, number=2, money=Money(500, "EUR"))
    returned = [await scene.gateway.reverse(ORDER_ID, one) for one in (back, back, rest, back)]
    assert returned == [returned[0], returned[0], returned[2], returned[0]]
    seen = await scene.sandbox("GET", f"/v1/transfers/{sent[0]}")
    assert (seen["destination"], seen["amount"], seen["amount_reversed"]) == (account.account_id, 900, 900)
    assert (seen["source_transaction"], seen["transfer_group"]) == (charge.charge_id, str(ORDER_ID))


async def test_a_refusal_is_not_final(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripe keeps it under its key for a day; the next two minutes have another one."""
    charge, account = await scene.paid(), await scene.gateway.create_account(USER_ID)
    due = replace(TRANSFER, account_id=account.account_id, charge_id=charge.charge_id)
    seconds = 1_000_000_000.0
    for _ in range(3):
        monkeypatch.setattr("adapters.stripe_client.time.time", lambda now=seconds: now)
        for _ in range(3):  # by the third time every key of these minutes has its refusal
            with pytest.raises(PaymentUnavailable):
                await scene.gateway.transfer(ORDER_ID, due)
        seconds += NEXT_KEY_SECONDS
    await scene.sandbox("POST", f"/_sandbox/accounts/{account.account_id}/onboard")
    with pytest.raises(PaymentUnavailable):
        await scene.gateway.transfer(ORDER_ID, due)
    monkeypatch.setattr("adapters.stripe_client.time.time", lambda: seconds)
    assert await scene.gateway.transfer(ORDER_ID, due) == await scene.gateway.transfer(ORDER_ID, due)
    assert (await scene.sandbox("GET", "/_sandbox/state"))["transfers"] == 1


async def test_a_transfer_is_known_by_its_metadata_when_its_key_is_forgotten(scene: Scene) -> None:
    charge, account = await scene.paid(), await scene.gateway.create_account(USER_ID)
    await scene.sandbox("POST", f"/_sandbox/accounts/{account.account_id}/onboard")
    form = {"amount": "900", "currency": "eur", "destination": account.account_id, "transfer_group": str(ORDER_ID)}
    tags = {"order_id": str(ORDER_ID), "seller_id": str(USER_ID), "number": "1"}
    tagged = {f"metadata[{name}]": value for name, value in tags.items()}
    older = await scene.by_hand("/v1/transfers", form | tagged | {"source_transaction": charge.charge_id})
    due = replace(TRANSFER, account_id=account.account_id, charge_id=charge.charge_id)
    assert await scene.gateway.transfer(ORDER_ID, due) == older["id"]
    back = await scene.by_hand(f"/v1/transfers/{older['id']}/reversals", {"amount": "400"} | tagged)
    assert await scene.gateway.reverse(ORDER_ID, replace(REVERSAL, transfer_id=older["id"])) == back["id"]


async def test_books_of_many_pages(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.stripe_client.PAGE", 2)
    made = [(await scene.paid()).charge_id for _ in range(5)]
    assert [one.charge.charge_id async for one in scene.gateway.charges(*ANY_TIME)] == made[::-1]


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
        read(gateway.charges(*ANY_TIME)),
        read(gateway.refunds(*ANY_TIME)),
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
    express = (
        "controller[fees][payer]=application&controller[losses][payments]=application"
        "&controller[stripe_dashboard][type]=express"
    )
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
            f"{express}&capabilities[transfers][requested]=true&metadata[user_id]={USER_ID}",
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

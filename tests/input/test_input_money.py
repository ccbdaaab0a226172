"""Currencies: the codes of ISO 4217 with their own minor units, as people read them and as Stripe counts them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from aiohttp import web

from adapters.settings import Settings
from adapters.stripe_amounts import from_stripe, to_stripe
from adapters.stripe_gateway import StripeGateway
from domain.charges import largest_of, step_of
from domain.errors import Invalid
from domain.money import CURRENCIES, MINOR_UNITS, Money
from domain.order import total_of
from domain.ports import PaymentUnavailable
from tests.api.house import House, serving
from tests.domain.scenes import listing
from tests.domain.test_order import item
from tests.input.shapes import GOOD


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(4500, "EUR"), "45.00 EUR"),
        (Money(5, "USD"), "0.05 USD"),
        (Money(123_456_789, "USD"), "1,234,567.89 USD"),
        (Money(500, "JPY"), "500 JPY"),
        (Money(1_500, "ISK"), "1,500 ISK"),
        (Money(4_500, "KWD"), "4.500 KWD"),
        (Money(-5, "EUR"), "-0.05 EUR"),
        (Money(0, "TND"), "0.000 TND"),
        (Money(4500, "BGN"), "4,500 BGN (minor units)"),
    ],
)
def test_people_read_decimals(money: Money, text: str) -> None:
    assert str(money) == text


def test_the_codes_are_those_of_the_standard() -> None:
    assert {MINOR_UNITS[code] for code in CURRENCIES} == {0, 2, 3}
    assert {"XCG", "SLE", "ZWG", "VES", "EUR"} <= CURRENCIES
    assert not CURRENCIES & {"XXX", "XTS", "XAU", "XDR", "ANG", "HRK", "BGN", "ZWL", "SLL", "BTC", "CHE", "UYI", "USN"}
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in CURRENCIES)


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_what_may_be_offered_is_counted_by_stripe_within_eight_digits(code: str) -> None:
    for amount in (step_of(code), largest_of(code)):
        counted = to_stripe(Money(amount, code))
        assert 0 < counted <= 99_999_999
        assert from_stripe(counted, code.lower()) == Money(amount, code)


@pytest.mark.parametrize(
    ("money", "counted"),
    [
        (Money(1_234, "EUR"), 1_234),
        (Money(500, "JPY"), 500),
        (Money(5_120, "KWD"), 5_120),
        (Money(5, "ISK"), 500),
        (Money(5, "UGX"), 500),
        (Money(500, "MGA"), 5),
    ],
)
def test_stripes_special_cases(money: Money, counted: int) -> None:
    """docs.stripe.com/currencies: three places end in 0; ISK and UGX have two zeros, MGA has none."""
    assert (to_stripe(money), from_stripe(counted, money.currency.lower())) == (counted, money)


def test_half_a_crown_is_none() -> None:
    with pytest.raises(msgspec.ValidationError):
        from_stripe(550, "isk")


@pytest.mark.parametrize(
    ("amount", "currency", "field"),
    [
        (5_124, "KWD", "price.amount"),
        (1, "BHD", "price.amount"),
        (50, "MGA", "price.amount"),
        (1_000_000, "ISK", "price.amount"),
        (100_000_000, "EUR", "price.amount"),
        (1, "ANG", "price.currency"),
        (1, "eur", "price.currency"),
        (1, "EU", "price.currency"),
        (1, "ЕUR", "price.currency"),
    ],
)
def test_what_stripe_would_refuse_is_not_offered(amount: int, currency: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        replace(listing(), price=Money(amount, currency)).check()
    assert caught.value.field == field


async def test_what_stripe_would_refuse_is_answered_422(house: House) -> None:
    seller = await house.person()
    ticket = await house.listing(seller, price={"amount": 5_120, "currency": "KWD"})
    for method, path in (("POST", "/tickets"), ("PATCH", f"/tickets/{ticket['id']}")):
        for amount, currency, field in ((5_124, "KWD", "price.amount"), (1, "ANG", "price.currency")):
            body = GOOD["NewTicket"] | {"price": {"amount": amount, "currency": currency}}
            answer = await house.call(method, path, body, token=seller.token)
            assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", [field])


def test_an_order_comes_to_no_more_than_stripe_takes() -> None:
    assert total_of((item(999_999, currency="ISK"),)).amount == 999_999
    with pytest.raises(Invalid, match="999999"):
        total_of((item(500_000, currency="ISK", quantity=2),))


async def test_a_crown_is_charged_as_a_crown(house: House) -> None:
    _, buyer, _, order = await house.ordered(price={"amount": 4_500, "currency": "ISK"})
    paid = await house.pay(buyer, order["id"])
    assert (paid.status, paid.body["status"]) == (201, "succeeded")
    intent = await house.sandbox("GET", f"/v1/payment_intents/{paid.body['payment_intent_id']}")
    assert (intent["amount"], intent["currency"]) == (450_000, "isk")
    history = await house.services.log.history(UUID(order["id"]))
    charged = next(event.data for event in history if event.type == "ChargeCreated")
    assert charged.money == Money(4_500, "ISK")  # type: ignore[union-attr]


@asynccontextmanager
async def answering(status: int, body: dict[str, Any]) -> AsyncIterator[StripeGateway]:
    """A gateway to a Stripe that answers only this."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    async with serving(app) as url:
        gateway = StripeGateway(Settings.from_environment({"STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_API_BASE": url}))
        try:
            yield gateway
        finally:
            await gateway.close()


@pytest.mark.parametrize(
    "error",
    [
        {"type": "invalid_request_error", "code": "amount_too_small", "param": "amount"},
        {"type": "invalid_request_error", "code": "amount_too_large"},
        {"type": "invalid_request_error", "param": "currency", "message": "Invalid currency: kpw."},
    ],
)
async def test_money_that_stripe_does_not_take_is_the_orders_fault(error: dict[str, str]) -> None:
    async with answering(400, {"error": error}) as gateway:
        with pytest.raises(Invalid, match=r"order_id: no card can be charged 0\.01 EUR"):
            await gateway.create_intent(uuid4(), Money(1, "EUR"))


async def test_any_other_refusal_is_not_the_buyers() -> None:
    async with answering(400, {"error": {"type": "invalid_request_error", "param": "metadata"}}) as gateway:
        with pytest.raises(PaymentUnavailable):
            await gateway.create_intent(uuid4(), Money(1, "EUR"))


async def test_money_that_is_none_is_not_believed() -> None:
    intent = {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "succeeded",
        "currency": "isk",
        "latest_charge": "ch_1",
    }
    async with answering(200, intent | {"amount": 550, "amount_received": 550}) as gateway:
        with pytest.raises(PaymentUnavailable):
            await gateway.fetch("pi_1")

"""What the gateway sends is Stripe: every request it can make is accepted by Stripe's own description of the API."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import aiohttp
import pytest

from adapters.settings import Settings
from adapters.stripe_client import API_VERSION
from adapters.stripe_gateway import StripeGateway
from domain.money import Money
from domain.payouts import Refund, Reversal, Transfer
from tests.stripe_mock.conftest import StripeMock

pytestmark = pytest.mark.long
"""The first run builds the server."""

ORDER_ID, SELLER_ID = UUID(int=7), UUID(int=8)
SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """One way to call a method of the gateway, and the requests that come of it."""

    method: str
    call: Callable[[StripeGateway], Awaitable[object]]
    requests: tuple[str, ...]


async def to_the_end(books: AsyncIterator[object]) -> None:
    async for _ in books:
        pass


def refund(tries: int = 0) -> Refund:
    return Refund(1, "ch_1", Money(1000, "EUR"), "buyer", tries=tries)


def transfer(money: Money) -> Transfer:
    return Transfer(1, SELLER_ID, "acct_1", money, "ch_1")


def intent(money: Money) -> Case:
    return Case("create_intent", lambda g: g.create_intent(ORDER_ID, money), ("POST /v1/payment_intents",))


CASES = (
    intent(Money(2500, "EUR")),
    intent(Money(2500, "JPY")),
    intent(Money(2500, "ISK")),
    intent(Money(25_000, "KWD")),
    Case("confirm", lambda g: g.confirm("pi_1", "pm_card_visa", "a"), ("POST /v1/payment_intents/pi_1/confirm",)),
    Case("fetch", lambda g: g.fetch("pi_1"), ("GET /v1/payment_intents/pi_1",)),
    Case("order_of", lambda g: g.order_of("pi_1"), ("GET /v1/payment_intents/pi_1",)),
    Case("cancel", lambda g: g.cancel("pi_1"), ("POST /v1/payment_intents/pi_1/cancel",)),
    Case("settlement", lambda g: g.settlement("ch_1"), ("GET /v1/charges/ch_1",)),
    Case("refund", lambda g: g.refund(ORDER_ID, refund()), ("GET /v1/refunds", "POST /v1/refunds")),
    Case("refund", lambda g: g.refund(ORDER_ID, refund(tries=1)), ("GET /v1/refunds", "POST /v1/refunds")),
    Case(
        "transfer",
        lambda g: g.transfer(ORDER_ID, transfer(Money(900, "EUR"))),
        ("GET /v1/transfers", "POST /v1/transfers"),
    ),
    Case(
        "transfer",
        lambda g: g.transfer(ORDER_ID, transfer(Money(900, "JPY"))),
        ("GET /v1/transfers", "POST /v1/transfers"),
    ),
    Case(
        "reverse",
        lambda g: g.reverse(ORDER_ID, Reversal(1, SELLER_ID, "tr_1", Money(900, "EUR"))),
        ("GET /v1/transfers/tr_1/reversals", "POST /v1/transfers/tr_1/reversals"),
    ),
    Case("create_account", lambda g: g.create_account(SELLER_ID), ("POST /v1/accounts",)),
    Case("fetch_account", lambda g: g.fetch_account("acct_1"), ("GET /v1/accounts/acct_1",)),
    Case(
        "onboarding_link",
        lambda g: g.onboarding_link("acct_1", return_url="https://h.example/r", refresh_url="https://h.example/f"),
        ("POST /v1/account_links",),
    ),
    Case("charges", lambda g: to_the_end(g.charges(SINCE, UNTIL)), ("GET /v1/charges",)),
    Case("find_charge", lambda g: g.find_charge("ch_1"), ("GET /v1/charges/ch_1",)),
    Case("find_refund", lambda g: g.find_refund("re_1"), ("GET /v1/refunds/re_1",)),
    Case("disputes", lambda g: to_the_end(g.disputes(SINCE, UNTIL)), ("GET /v1/disputes",)),
    Case("refunds", lambda g: to_the_end(g.refunds(SINCE, UNTIL)), ("GET /v1/refunds",)),
)


@pytest.fixture
async def gateway(stripe_mock: StripeMock) -> AsyncIterator[StripeGateway]:
    environment = {"STRIPE_SECRET_KEY": "sk_test_123", "STRIPE_API_BASE": stripe_mock.url}
    one = StripeGateway(Settings.from_environment(environment))
    yield one
    await one.close()


def test_every_public_method_of_the_gateway_is_tried() -> None:
    methods = {name for name, _ in inspect.getmembers(StripeGateway, inspect.isfunction) if not name.startswith("_")}
    assert {case.method for case in CASES} == methods - {"close"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.method)
async def test_stripe_takes_the_request(gateway: StripeGateway, stripe_mock: StripeMock, case: Case) -> None:
    before = len(stripe_mock.seen())
    await case.call(gateway)
    assert tuple(stripe_mock.seen()[before:]) == case.requests


@pytest.mark.parametrize(
    "path",
    [
        "/v1/refunds?charge=ch_1&limit=100&starting_after=re_1",
        "/v1/transfers?transfer_group=x&limit=100&starting_after=tr_1",
        "/v1/transfers/tr_1/reversals?limit=100&starting_after=trr_1",
        "/v1/charges?created[gte]=1&created[lt]=2&expand[0]=data.balance_transaction&limit=100&starting_after=ch_1",
        "/v1/refunds?created[gte]=1&created[lt]=2&limit=100&starting_after=re_1",
        "/v1/disputes?created[gte]=1&created[lt]=2&limit=100&starting_after=dp_1",
    ],
)
async def test_stripe_takes_the_request_for_a_lists_next_page(stripe_mock: StripeMock, path: str) -> None:
    """Its lists end with the first page: the gateway cannot be brought to ask for the second one."""
    assert await ask(stripe_mock, "GET", path) == 200


async def test_what_stripe_does_not_know_it_refuses(stripe_mock: StripeMock) -> None:
    """Else the tests above would show nothing."""
    assert await ask(stripe_mock, "POST", "/v1/refunds", data={"charge": "ch_1"}) == 200
    assert await ask(stripe_mock, "POST", "/v1/refunds", data={"charge": "ch_1", "colour": "red"}) == 400
    assert await ask(stripe_mock, "POST", "/v1/refunds", data={"charge": "ch_1", "amount": "much"}) == 400
    assert await ask(stripe_mock, "POST", "/v1/nothing") == 404
    assert await ask(stripe_mock, "POST", "/v1/refunds", version="2026-07-29.dahlia", data={"charge": "ch_1"}) == 400


async def ask(
    mock: StripeMock, method: str, path: str, version: str = API_VERSION, data: dict[str, str] | None = None
) -> int:
    headers = {"Authorization": "Bearer sk_test_123", "Stripe-Version": version}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, mock.url + path, data=data, headers=headers) as answer,
    ):
        return answer.status

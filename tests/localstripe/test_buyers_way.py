"""The whole way of a buyer, through a real API process, with a Stripe that somebody else wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from adapters.settings import Settings
from adapters.stripe_gateway import StripeGateway
from domain.money import Money
from domain.payouts import Refund
from tests.api.house import WEBHOOK_SECRET, House, Person, eventually, settings_of
from tests.api.test_api_server import process, wait_until_listening
from tests.api.test_api_webhooks import send
from tests.localstripe.conftest import LocalStripe

pytestmark = pytest.mark.long
"""The first run installs the server."""

GOOD, DECLINED = "pm_card_visa", "pm_card_chargeCustomerFail"
PRICE = Money(2500, "EUR")
WEBHOOK_WITHIN_SECONDS = 10.0
"""It sends one a second after what it tells."""


@pytest.fixture
def settings(database_url: str, tmp_path: Path, localstripe: LocalStripe) -> Settings:
    return settings_of(database_url, tmp_path, port=unused_port(), stripe_api_base=localstripe.url)


@pytest.fixture
async def house(settings: Settings, localstripe: LocalStripe) -> AsyncIterator[House]:
    """A process of the API, which hears localstripe's webhooks."""
    url = f"http://127.0.0.1:{settings.port}"
    hook = {"url": f"{url}/api/webhooks/stripe", "secret": WEBHOOK_SECRET}
    assert (await localstripe.ask("POST", "/_config/webhooks/stagedoor", hook))[0] == 200
    with process(settings) as child:
        wait_until_listening(settings.port, child)
        async with aiohttp.ClientSession() as session:
            yield House(session, url, cast("Any", None), localstripe.url)


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[StripeGateway]:
    """The worker's."""
    one = StripeGateway(settings)
    yield one
    await one.close()


async def history(house: House, buyer: Person, order: Any) -> list[str]:
    answer = await house.call("GET", f"/orders/{order['id']}/history", token=buyer.token)
    return [event["type"] for event in answer.body["items"]]


async def told(house: House, buyer: Person, order: Any, event: str) -> bool:
    """Whether the order has heard of it, within the time a webhook takes."""

    async def look() -> bool:
        return event in await history(house, buyer, order)

    return bool(await eventually(look, WEBHOOK_WITHIN_SECONDS))


async def test_a_declined_card_then_another_one(house: House, localstripe: LocalStripe, gateway: StripeGateway) -> None:
    _, buyer, ticket, order = await house.ordered()
    begun = await house.pay(buyer, order["id"], None)
    assert (begun.status, begun.body["status"]) == (201, "requires_payment_method")
    intent_id = begun.body["payment_intent_id"]
    assert await localstripe.page_pays(intent_id, DECLINED) == 402
    assert await told(house, buyer, order, "ChargeFailed")
    assert await localstripe.page_pays(intent_id, GOOD) == 200
    assert await told(house, buyer, order, "OrderCompleted")
    done = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert (done["status"], done["payment_intent_id"]) == ("completed", intent_id)
    units = (await house.call("GET", f"/tickets/{ticket['id']}")).body
    assert (units["available"], units["sold"]) == (4, 1)
    again = await house.pay(buyer, order["id"])
    assert (again.status, again.code) == (409, "order_not_open")
    paid = await gateway.fetch(intent_id)
    assert paid.charge is not None
    assert (paid.charge.charge_id, paid.charge.money) == (done["charge_id"], PRICE)
    assert paid.charge.settlement is not None
    assert paid.charge.settlement == await gateway.settlement(done["charge_id"])
    assert paid.charge.settlement.fee == Money(0, "EUR")


async def test_money_that_came_too_late_goes_back_once(
    house: House, localstripe: LocalStripe, gateway: StripeGateway
) -> None:
    _, buyer, _, order = await house.ordered()
    intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
    assert (await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)).status == 200
    assert await localstripe.page_pays(intent_id, GOOD) == 200
    assert await told(house, buyer, order, "ChargeCreated")
    charge_id = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body["charge_id"]
    due = Refund(1, charge_id, PRICE, "cancelled")
    # It knows no idempotency keys: that there is one refund only is the gateway's looking first.
    made = [await gateway.refund(UUID(order["id"]), due) for _ in range(2)]
    assert made[0] == made[1]
    assert (made[0].number, made[0].charge_id, made[0].money) == (1, charge_id, PRICE)
    _, charge = await localstripe.ask("GET", f"/v1/charges/{charge_id}")
    assert charge["amount_refunded"] == PRICE.amount
    _, refund = await localstripe.ask("GET", f"/v1/refunds/{made[0].refund_id}")
    for _ in range(2):
        assert (await send(house, "refund.created", refund | {"payment_intent": intent_id})).status == 200
    assert (await history(house, buyer, order))[-2:] == ["ChargeCreated", "RefundCreated"]


async def test_a_seller_gives_one_ticket_of_two_back(
    house: House, localstripe: LocalStripe, gateway: StripeGateway
) -> None:
    seller, buyer = await house.person("seller"), await house.person("buyer")
    ticket = await house.listing(seller)
    order = (await house.order(buyer, ticket["id"], 2)).body
    intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
    assert await localstripe.page_pays(intent_id, GOOD) == 200
    assert await told(house, buyer, order, "OrderCompleted")
    body = {"items": [{"ticket_id": ticket["id"], "quantity": 1}]}
    given_back = await house.call("POST", f"/orders/{order['id']}/refund", body, token=seller.token)
    assert given_back.status == 200, given_back.raw
    charge_id = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body["charge_id"]
    made = await gateway.refund(UUID(order["id"]), Refund(1, charge_id, PRICE, "seller"))
    _, refund = await localstripe.ask("GET", f"/v1/refunds/{made.refund_id}")
    assert refund["amount"] == PRICE.amount
    assert (await send(house, "refund.created", refund | {"payment_intent": intent_id})).status == 200
    seen = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    [told_of] = seen["refunds"]
    assert (told_of["status"], told_of["refund_id"], told_of["reason"]) == ("succeeded", made.refund_id, "seller")
    assert (seen["status"], seen["items"][0]["refunded"]) == ("completed", 1)

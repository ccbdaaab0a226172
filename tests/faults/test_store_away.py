"""Fault 7, for longer: the store is out of reach for a while. Once it is back, everything is answered at once again."""

from __future__ import annotations

from time import monotonic

import pytest

from tests.api.house import House
from tests.faults.proxy import Proxy

AWAY_SECONDS = 17.0
BACK_WITHIN_SECONDS = 5.0


@pytest.fixture
def house(house_behind_proxy: House) -> House:
    """Here it is the one whose way to the store goes wrong."""
    return house_behind_proxy


@pytest.mark.long
async def test_reads_are_answered_as_soon_as_orders_are(house: House, proxy: Proxy) -> None:
    ticket = await house.listing(await house.person())
    buyer = await house.person()
    proxy.away = True
    proxy.cut()
    back_at = monotonic() + AWAY_SECONDS
    while monotonic() < back_at:
        answer = await house.call("GET", f"/tickets/{ticket['id']}")
        assert (answer.status, answer.code) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    proxy.away = False
    back_at = monotonic()
    assert (await house.order(buyer, ticket["id"])).status == 201
    while (answer := await house.call("GET", f"/tickets/{ticket['id']}")).status == 503:
        assert monotonic() < back_at + BACK_WITHIN_SECONDS, "orders are taken, and nothing can be read"
    assert (answer.status, answer.body["held"]) == (200, 1)

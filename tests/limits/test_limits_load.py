"""Load is shed where it would pile up: requests under way, bodies on their way, reads that wait for a connection."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from api import app
from api.load import Load
from domain.errors import Busy
from tests.api.conftest import OpenHouse, house, open_house, sandbox_url
from tests.api.house import Answer, House, eventually

__all__ = ["house", "open_house", "sandbox_url"]


def is_shed(answer: Answer, code: str = "busy") -> bool:
    return (answer.status, answer.code) == (503, code) and int(answer.headers["Retry-After"]) > 0


def test_a_place_is_given_back_whatever_happens() -> None:
    load = Load(1, "too many")

    def fail(error: type[BaseException]) -> None:
        with load:
            assert load.under_way == 1
            raise error

    for error in (ValueError, asyncio.CancelledError):
        with pytest.raises(error):
            fail(error)
    with load:
        with pytest.raises(Busy, match="too many"):
            fail(ValueError)
        assert load.under_way == 1
    assert load.under_way == 0


async def test_beyond_so_many_requests_under_way_one_is_told_to_come_again(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "MAX_REQUESTS", 2)
    async with open_house() as house:
        ticket = await house.listing(await house.person())
        waiting = [asyncio.create_task(house.call("GET", f"/tickets/{ticket['id']}?min_version=99")) for _ in range(2)]

        async def are_under_way() -> bool:
            return house.services.requests.under_way == 2

        assert await eventually(are_under_way)
        assert is_shed(await house.call("GET", "/tickets"))
        # What watches the house, and money's own news, come through.
        assert (await house.call("GET", "//healthz")).status == 200
        assert (await house.call("POST", "/webhooks/stripe", {})).code == "bad_signature"
        await asyncio.gather(*waiting)
        assert house.services.requests.under_way == 0
        assert (await house.call("GET", "/tickets")).status == 200


async def test_many_who_wait_for_a_version_are_answered_from_the_log(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "MAX_VERSION_WAITS", 1)
    async with open_house() as house:
        path = f"/tickets/{(await house.listing(await house.person()))['id']}?min_version=99"
        waiting = asyncio.create_task(house.call("GET", path))

        async def waits() -> bool:
            return house.services.version_waits.is_full

        assert await eventually(waits)
        answer = await house.call("GET", path)
        assert (answer.status, answer.body["version"], waiting.done()) == (200, 1, False)
        assert (await waiting).body == answer.body


async def test_reads_that_wait_for_a_connection_are_bounded(house: House) -> None:
    buyer = await house.person()
    pool = house.services.pool
    pool.max_waiting = 2
    async with AsyncExitStack() as stack:
        for _ in range(app.POOL_SIZE):
            await stack.enter_async_context(pool.connection())
        waiting = [asyncio.create_task(house.call("GET", "/orders", token=buyer.token)) for _ in range(2)]

        async def wait() -> bool:
            return pool.get_stats().get("requests_waiting") == 2

        assert await eventually(wait)
        assert is_shed(await house.call("GET", "/orders", token=buyer.token), "unavailable")
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [200, 200]

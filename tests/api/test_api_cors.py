"""Cross-origin requests: the configured origins only."""

from __future__ import annotations

import pytest

from tests.api.conftest import OpenHouse

SHOP = "https://shop.example.org"


def asked(origin: str) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,idempotency-key",
    }


async def test_a_configured_origin_may_ask_and_read(open_house: OpenHouse) -> None:
    async with open_house(cors_origins=(SHOP,)) as house:
        before = await house.call("OPTIONS", "/orders", headers=asked(SHOP))
        assert before.status == 204
        assert before.headers["Access-Control-Allow-Origin"] == SHOP
        assert "POST" in before.headers["Access-Control-Allow-Methods"]
        allowed = before.headers["Access-Control-Allow-Headers"].lower()
        assert {"authorization", "idempotency-key", "content-type", "if-match"} <= set(allowed.split(", "))
        for path in ("/tickets", "/nothing", "/orders"):  # errors too, or the page cannot tell its user what is wrong
            answer = await house.call("GET", path, headers={"Origin": SHOP})
            assert answer.headers["Access-Control-Allow-Origin"] == SHOP
            assert {"ETag", "Idempotent-Replayed"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))
            assert "Origin" in answer.headers["Vary"]
            assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example.org", f"{SHOP}.evil.org", "http://shop.example.org", "null"])
async def test_another_origin_may_not(open_house: OpenHouse, origin: str) -> None:
    async with open_house(cors_origins=(SHOP,)) as house:
        assert (await house.call("OPTIONS", "/orders", headers=asked(origin))).status == 405
        answer = await house.call("GET", "/tickets", headers={"Origin": origin})
        assert answer.status == 200
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_without_configured_origins_there_are_none(open_house: OpenHouse) -> None:
    async with open_house() as house:
        assert (await house.call("OPTIONS", "/orders", headers=asked(SHOP))).status == 405
        assert (
            "Access-Control-Allow-Origin" not in (await house.call("GET", "/tickets", headers={"Origin": SHOP})).headers
        )

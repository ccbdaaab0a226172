"""Limits per listing, and of sign-ins per address; an on-sale is not throttled."""

from __future__ import annotations

from uuid import uuid4

import pytest

from api import limits
from api.limits import Limits, Rule
from api.problems import Refused
from tests.api.conftest import OpenHouse, open_house, sandbox_url

__all__ = ["open_house", "sandbox_url"]


async def test_one_account_tries_one_listing_so_often(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ORDERS_PER_ACCOUNT_AND_LISTING", Rule(burst=2, per_second=0.1))
    async with open_house(rate_limit=True) as house:
        seller, ann, ben = [await house.person() for _ in range(3)]
        hot, other = await house.listing(seller, quantity=1), await house.listing(seller)
        answers = [await house.order(ann, hot["id"]) for _ in range(3)]
        assert [answer.code for answer in answers] == [None, "sold_out", "too_many_requests"]
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 10
        assert (await house.order(ann, other["id"])).status == 201
        assert (await house.order(ben, hot["id"])).code == "sold_out", "others are not kept waiting"
        both = {"items": [{"ticket_id": ticket["id"], "quantity": 1} for ticket in (other, hot)]}
        assert (await house.call("POST", "/orders", both, token=ann.token)).code == "too_many_requests"


async def test_one_address_tries_one_listing_so_often(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ORDERS_PER_ADDRESS_AND_LISTING", Rule(burst=2, per_second=0.1))
    async with open_house(rate_limit=True) as house:
        seller, *buyers = [await house.person() for _ in range(4)]
        hot, other = await house.listing(seller), await house.listing(seller)
        assert [(await house.order(buyer, hot["id"])).status for buyer in buyers] == [201, 201, 429]
        assert (await house.order(buyers[2], other["id"])).status == 201


def test_an_on_sale_of_one_listing_is_not_throttled() -> None:
    """Fifty thousand people want the same at once; each of them may try, and again after a moment."""
    on, hot = Limits(enabled=True), uuid4()
    people = [(uuid4(), f"203.{number >> 16}.{number >> 8 & 255}.{number & 255}") for number in range(50_000)]
    for _ in range(2):
        for person, address in people:
            on.check_order(person, address, [hot])


def test_a_robot_is_told_to_wait_on_each_listing_by_itself() -> None:
    on, robot, hot = Limits(enabled=True), uuid4(), uuid4()
    for _ in range(limits.ORDERS_PER_ACCOUNT_AND_LISTING.burst):
        on.check_order(robot, "203.0.113.9", [hot])
    with pytest.raises(Refused):
        on.check_order(robot, "198.51.100.7", [hot])
    on.check_order(robot, "203.0.113.9", [uuid4()])


async def test_one_password_is_not_tried_on_everybody(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SIGN_INS_PER_ADDRESS", Rule(burst=3, per_second=0.1))
    async with open_house(rate_limit=True) as house:

        async def sign_in(number: int) -> int:
            body = {"email": f"somebody-{number}@example.org", "password": "correct horse"}
            return (await house.call("POST", "/users/signin", body)).status

        assert [await sign_in(number) for number in range(4)] == [401, 401, 401, 429]

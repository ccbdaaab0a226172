"""Limits per address, account and e-mail address."""

from __future__ import annotations

import pytest

from api import limits
from api.limits import Buckets, Limits, Rule, network_of
from api.problems import Refused
from tests.api.conftest import OpenHouse
from tests.api.house import House


def test_a_bucket_gives_its_burst_and_fills_again() -> None:
    buckets = Buckets(Rule(burst=3, per_second=2))
    assert [buckets.take("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.take("a", 0.25) == 0.25
    assert buckets.take("a", 0.5) == 0.0
    assert buckets.take("a", 0.5) == 0.5
    assert [buckets.take("a", 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_buckets_are_bounded_and_forget_the_longest_unused() -> None:
    buckets = Buckets(Rule(burst=1, per_second=0.001), most=2)
    buckets.take("a", 0.0)
    buckets.take("b", 0.0)
    assert buckets.take("a", 0.0) > 0.0
    buckets.take("c", 0.0)  # forgets b
    assert buckets.take("a", 0.0) > 0.0
    assert buckets.take("b", 0.0) == 0.0


@pytest.mark.parametrize(
    ("remote", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "20010db800010002::/64"),
        ("2001:db8:1:2:ffff::1", "20010db800010002::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80000000000000::/64"),
        (None, ""),
    ],
)
def test_the_network_an_address_counts_for(remote: str | None, network: str) -> None:
    assert network_of(remote) == network


def test_switched_off_everything_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PER_ADDRESS", Rule(burst=1, per_second=1))
    off, on = Limits(enabled=False), Limits(enabled=True)
    for _ in range(5):
        off.check_address("192.0.2.7")
    on.check_address("192.0.2.7")
    with pytest.raises(Refused):
        on.check_address("192.0.2.7")


async def test_beyond_the_bound_one_is_told_when_to_come_again(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PER_ADDRESS", Rule(burst=2, per_second=0.1))
    async with open_house(rate_limit=True) as house:
        forged = [{"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": "for=192.0.2.1"} for number in range(4)]
        answers = [await house.call("GET", "/tickets", headers=headers) for headers in forged]
        assert [answer.status for answer in answers] == [200, 200, 429, 429]
        assert answers[2].code == "too_many_requests"
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 10
        # What watches the house, and Stripe, are not counted.
        assert (await house.call("GET", "//healthz")).status == 200
        assert (await house.call("POST", "/webhooks/stripe", {})).code == "bad_signature"


async def test_an_account_has_a_bound_of_its_own(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PER_ACCOUNT", Rule(burst=2, per_second=0.1))
    async with open_house(rate_limit=True) as house:
        ann, ben = await house.person(), await house.person()
        assert [(await house.call("GET", "/orders", token=ann.token)).status for _ in range(3)] == [200, 200, 429]
        assert (await house.call("GET", "/orders", token=ben.token)).status == 200


async def test_a_password_cannot_be_guessed_at_full_speed(open_house: OpenHouse) -> None:
    async with open_house(rate_limit=True) as house:
        ann, ben = await house.person(), await house.person()

        async def guess(house: House, email: str) -> int:
            return (await house.call("POST", "/users/signin", {"email": email, "password": "wrong wrong"})).status

        tries = [await guess(house, ann.email.upper() if number % 2 else ann.email) for number in range(12)]
        assert tries[:10] == [401] * 10
        assert 429 in tries[10:]
        assert await guess(house, ben.email) == 401


async def test_accounts_are_not_made_by_the_million(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SIGN_UPS_PER_ADDRESS", Rule(burst=2, per_second=0.1))
    async with open_house(rate_limit=True) as house:
        await house.person()
        await house.person()
        body = {"email": "third@example.org", "password": "correct horse", "name": "x"}
        assert (await house.call("POST", "/users/signup", body)).status == 429


async def test_a_demo_of_three_hundred_buyers_from_one_address_gets_through() -> None:
    on = Limits(enabled=True)
    for _ in range(300):
        on.check_sign_up("127.0.0.1")
        for _ in range(20):
            on.check_address("127.0.0.1")


async def test_too_many_passwords_at_once_are_turned_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.passwords.MAX_WAITING", 0)
    answer = await house.call("POST", "/users/signin", {"email": "ann@example.org", "password": "wrong"})
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "busy", "1")

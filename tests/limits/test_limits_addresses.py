"""Whose request it is: only a configured proxy's word counts, and only as far as the proxies go."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from adapters.settings import Settings, SettingsError
from api import limits
from api.addresses import MAX_HOPS, Addresses
from api.limits import Rule
from tests.api.conftest import OpenHouse, open_house, sandbox_url

__all__ = ["open_house", "sandbox_url"]

PROXY, OTHER_PROXY, CLIENT, FORGED = "127.0.0.1", "10.1.2.3", "203.0.113.9", "198.51.100.66"
TRUSTED = (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def address(*headers: tuple[str, str], peer: str | None = PROXY, trusted: Any = TRUSTED) -> str | None:
    request = make_mocked_request("GET", "/", headers=CIMultiDict(headers))
    return Addresses(trusted).of(request.clone(remote=peer))


def x(value: str) -> tuple[str, str]:
    return ("X-Forwarded-For", value)


def f(value: str) -> tuple[str, str]:
    return ("Forwarded", value)


@pytest.mark.parametrize("header", [x(FORGED), f(f"for={FORGED}")])
@pytest.mark.parametrize(
    ("peer", "trusted"), [(CLIENT, TRUSTED), (PROXY, ()), ("10.0.0.1", TRUSTED[:1]), (None, TRUSTED)]
)
def test_nobody_else_is_believed(header: tuple[str, str], peer: str | None, trusted: Any) -> None:
    assert address(header, peer=peer, trusted=trusted) == peer


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (x(CLIENT), CLIENT),
        (x(f"{CLIENT}:4711"), CLIENT),
        (x(f" {CLIENT} "), CLIENT),
        (x("2001:db8::17"), "2001:db8::17"),
        (x("[2001:db8::17]:4711"), "2001:db8::17"),
        (x("[2001:DB8:0::17]"), "2001:db8::17"),
        (x(f"::ffff:{CLIENT}"), CLIENT),
        (f(f"for={CLIENT}"), CLIENT),
        (f(f"For={CLIENT};proto=https;by={PROXY}"), CLIENT),
        (f(f'proto=https;for="{CLIENT}:4711"'), CLIENT),
        (f(f"for={CLIENT}:4711"), CLIENT),
        (f(f'for="{CLIENT}:_secret"'), CLIENT),
        (f('for="[2001:db8::17]:4711"'), "2001:db8::17"),
        (f("for=[2001:db8::17]"), "2001:db8::17"),
        (f(f'for="{CLIENT[:-1]}\\{CLIENT[-1]}"'), CLIENT),
        (f(f'for={CLIENT};ext="a,b;for={FORGED}"'), CLIENT),
    ],
)
def test_what_a_proxy_tells_is_taken(header: tuple[str, str], client: str) -> None:
    assert address(header) == client


@pytest.mark.parametrize("make", [x, lambda value: f(", ".join(f"for={hop}" for hop in value.split(", ")))])
@pytest.mark.parametrize(
    ("hops", "client"),
    [
        (f"{FORGED}, {CLIENT}", CLIENT),
        (f"unknown, _hidden, 999.1.1.1, {CLIENT}", CLIENT),
        (f"{FORGED}, {CLIENT}, {OTHER_PROXY}", CLIENT),
        (f"{FORGED}, {CLIENT}, {OTHER_PROXY}, 10.9.9.9", CLIENT),
        (f"{PROXY}, {FORGED}, {CLIENT}, {OTHER_PROXY}", CLIENT),
        (OTHER_PROXY, OTHER_PROXY),
        (f"10.7.7.7, {OTHER_PROXY}", "10.7.7.7"),
        (f"{CLIENT}, _hidden", PROXY),
        (f"{CLIENT}, unknown, {OTHER_PROXY}", PROXY),
        (f"{FORGED}, 999.1.1.1", PROXY),
    ],
)
def test_hops_are_walked_from_the_right_past_proxies(make: Any, hops: str, client: str) -> None:
    assert address(make(hops)) == client


@pytest.mark.parametrize(
    "headers",
    [
        [x("")],
        [x(",")],
        [x(f"{CLIENT},")],
        [x("unknown")],
        [x("localhost")],
        [x(f"{CLIENT}:port")],
        [x(f"{CLIENT}/24")],
        [x("2001:db8::17:g")],
        [x("[2001:db8::17")],
        [x("1.2.3")],
        [x("0x7f.1.1.1")],
        [f("")],
        [f(f'for="{CLIENT}')],
        [f(f'for={CLIENT}"')],
        [f(f"for={FORGED};for={CLIENT}")],
        [f(f"for {CLIENT}")],
        [f(f"for={CLIENT};")],
        [f("for=_hidden")],
        [f("for=unknown")],
        [f("by=203.0.113.9")],
        # A client's open quote, to swallow what the proxy appends.
        [f(f'for={FORGED};x=", for="[2001:db8::17]"')],
        [f(f'for={FORGED};x="'), f('for="[2001:db8::17]"')],
        [x(FORGED), f(f"for={CLIENT}")],
        [x("nonsense"), f(f"for={CLIENT}")],
    ],
)
def test_what_makes_no_sense_is_the_connections_own(headers: list[tuple[str, str]]) -> None:
    assert address(*headers) == PROXY


def test_both_headers_may_agree_and_lines_are_read_together() -> None:
    assert address(x(CLIENT), f(f"for={CLIENT}")) == CLIENT
    assert address(x(FORGED), x(CLIENT)) == CLIENT
    assert address(x(f"{FORGED}, {CLIENT}"), x(OTHER_PROXY)) == CLIENT


def test_an_ipv6_proxy_and_one_on_a_socket_for_both_kinds() -> None:
    assert address(x(CLIENT), peer="fd00::1") == CLIENT
    assert address(x(CLIENT), peer=f"::ffff:{PROXY}") == CLIENT
    assert address(x(CLIENT), peer="fe80::1") == "fe80::1"


def test_proxies_in_a_row_are_looked_past_within_a_bound() -> None:
    hops = [f"10.0.0.{number}" for number in range(1, 101)]
    assert address(x(", ".join([CLIENT, *hops[: MAX_HOPS - 1]]))) == CLIENT
    assert address(x(", ".join([CLIENT, *hops]))) == hops[-MAX_HOPS]


def test_a_header_full_of_quotes_is_read_at_once() -> None:
    for hard in ('for="' * 1_500, 'for="\\"' * 1_000, "for=a;" * 1_200, ", " * 4_000):
        assert address(f(hard)) == PROXY


def test_the_setting_is_read_and_written() -> None:
    read = Settings.from_environment({"STAGEDOOR_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8,fd00::/8"})
    assert read.trusted_proxies == TRUSTED
    assert Settings.from_environment(read.as_environment()) == read
    assert Settings.from_environment({}).trusted_proxies == ()
    for bad in ("proxy.local", "10.0.0.1/8", "10.0.0.0/33", "127.0.0.1 10.0.0.1"):
        with pytest.raises(SettingsError, match="STAGEDOOR_TRUSTED_PROXIES"):
            Settings.from_environment({"STAGEDOOR_TRUSTED_PROXIES": bad})


async def test_limits_count_for_the_client_behind_a_proxy(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PER_ADDRESS", Rule(burst=2, per_second=0.001))
    async with open_house(rate_limit=True, trusted_proxies=TRUSTED) as house:

        async def ask(address: str) -> int:
            return (await house.call("GET", "/tickets", headers={"X-Forwarded-For": address})).status

        assert [await ask(f"{FORGED}, {CLIENT}") for _ in range(3)] == [200, 200, 429]
        assert await ask(f"{CLIENT}, {FORGED}") == 200
        assert [await ask(f"2001:db8::{number}") for number in range(3)] == [200, 200, 429], "a /64 is one customer's"

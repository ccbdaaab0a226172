"""Sessions of our own pages: no script ever has the refresh token, and no other site can use or end a session."""

from __future__ import annotations

from http.cookies import Morsel, SimpleCookie

import pytest

from tests.api.conftest import OpenHouse
from tests.api.house import PASSWORD, Answer, House

ACCOUNT = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
CREDENTIALS = {"email": ACCOUNT["email"], "password": PASSWORD}


def from_page(house: House, cookie: str | None = None, **more: str) -> dict[str, str]:
    """The headers a page of the house sends."""
    headers = {"X-Stagedoor-Session": "cookie", "Origin": house.url}
    if cookie is not None:
        headers["Cookie"] = f"stagedoor_session={cookie}"
    return headers | more


def cookie_of(answer: Answer) -> Morsel[str]:
    return SimpleCookie(answer.headers["Set-Cookie"])["stagedoor_session"]


async def test_the_refresh_token_is_in_the_cookie_and_nowhere_else(house: House) -> None:
    up = await house.call("POST", "/users/signup", ACCOUNT, headers=from_page(house), key="k")
    again = await house.call("POST", "/users/signup", ACCOUNT, headers=from_page(house), key="k")
    inside = await house.call("POST", "/users/signin", CREDENTIALS, headers=from_page(house))
    for answer in (up, again, inside):
        cookie = cookie_of(answer)
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/api/users")
        assert not cookie["secure"]  # http://127.0.0.1
        assert int(cookie["max-age"]) == 30 * 24 * 3600
        assert "refresh_token" not in answer.body
        assert cookie.value.encode() not in answer.raw
        assert answer.body["access_token"]
    assert cookie_of(up).value == cookie_of(again).value


async def test_a_cookie_refreshes_once_and_is_replaced(house: House) -> None:
    first = cookie_of(await house.call("POST", "/users/signup", ACCOUNT, headers=from_page(house))).value
    refreshed = await house.call("POST", "/users/refresh", {}, headers=from_page(house, first))
    assert refreshed.status == 200
    assert "refresh_token" not in refreshed.body
    second = cookie_of(refreshed).value
    assert second != first
    assert (await house.call("POST", "/users/refresh", {}, headers=from_page(house, first))).code == "bad_refresh_token"
    assert (await house.call("POST", "/users/refresh", {}, headers=from_page(house, second))).status == 401


async def test_a_cookie_alone_is_nothing(house: House) -> None:
    """It comes along with whatever the browser sends: without the page's header it is not looked at."""
    cookie = cookie_of(await house.call("POST", "/users/signup", ACCOUNT, headers=from_page(house))).value
    answer = await house.call("POST", "/users/refresh", {}, headers={"Cookie": f"stagedoor_session={cookie}"})
    assert (answer.status, answer.code) == (401, "bad_refresh_token")
    assert (await house.call("POST", "/users/refresh", {}, headers=from_page(house, cookie))).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://127.0.0.1.evil.example"])
async def test_a_page_of_another_origin_gets_and_ends_no_session(house: House, origin: str) -> None:
    up = await house.call("POST", "/users/signup", ACCOUNT, headers=from_page(house))
    cookie, token = cookie_of(up).value, up.body["access_token"]
    foreign = from_page(house, cookie, Origin=origin)
    for path, body, access in (
        ("/users/signup", ACCOUNT | {"email": "bea@example.org"}, None),
        ("/users/signin", CREDENTIALS, None),
        ("/users/refresh", {}, None),
        ("/users/signout", None, token),
    ):
        answer = await house.call("POST", path, body, headers=foreign, token=access)
        assert (answer.status, answer.code) == (403, "foreign_origin"), path
        assert "Set-Cookie" not in answer.headers
    assert (await house.call("POST", "/users/refresh", {}, headers=from_page(house, cookie))).status == 200


async def test_signing_out_takes_the_cookie_back(house: House) -> None:
    up = await house.call("POST", "/users/signup", ACCOUNT, headers=from_page(house))
    out = await house.call("POST", "/users/signout", token=up.body["access_token"], headers=from_page(house))
    assert (out.status, cookie_of(out).value, cookie_of(out)["max-age"]) == (204, "", "0")
    assert (await house.call("POST", "/users/refresh", {}, headers=from_page(house, cookie_of(up).value))).status == 401


async def test_under_https_the_cookie_travels_by_nothing_else(open_house: OpenHouse) -> None:
    """Behind a proxy that ends TLS the page's origin is the public URL, whatever `Host` says."""
    async with open_house(public_url="https://tickets.example.org") as house:
        headers = from_page(house, Origin="https://tickets.example.org")
        assert cookie_of(await house.call("POST", "/users/signup", ACCOUNT, headers=headers))["secure"] is True


async def test_refusals_are_what_they_are_for_everybody(house: House) -> None:
    await house.call("POST", "/users/signup", ACCOUNT, headers=from_page(house))
    taken = await house.call("POST", "/users/signup", ACCOUNT, headers=from_page(house), key="k")
    assert (taken.status, taken.code, "Set-Cookie" in taken.headers) == (409, "email_taken", False)
    wrong = await house.call("POST", "/users/signin", CREDENTIALS | {"password": "wrong"}, headers=from_page(house))
    assert (wrong.status, "Set-Cookie" in wrong.headers) == (401, False)


async def test_programs_get_tokens_in_the_body_as_ever(house: House) -> None:
    up = await house.call("POST", "/users/signup", ACCOUNT)
    assert "Set-Cookie" not in up.headers
    assert (await house.call("POST", "/users/refresh", {"refresh_token": up.body["refresh_token"]})).status == 200

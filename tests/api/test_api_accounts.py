"""Accounts: sign up, sign in, refresh, sign out, change, erase."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from api import sessions
from domain.records import Session
from tests.api.conftest import OpenHouse
from tests.api.house import PASSWORD, House, eventually


async def test_signing_up_answers_the_user_and_a_pair_of_tokens(house: House) -> None:
    body = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
    answer = await house.call("POST", "/users/signup", body)
    assert answer.status == 201
    user = answer.body["user"]
    assert user == {"id": user["id"], "email": "ann@example.org", "name": "Ann", "email_verified": False}
    assert (answer.body["token_type"], answer.body["expires_in"]) == ("Bearer", 600)
    assert answer.headers["Cache-Control"] == "no-store"
    current = await house.call("GET", "/users/currentuser", token=answer.body["access_token"])
    assert current.body == {"currentUser": answer.body["user"]}


@pytest.mark.parametrize("variant", ["ann@example.org", "Ann@Example.ORG", " ann@example.org ", "ａｎｎ@example.org"])
async def test_one_address_is_one_account_however_it_is_written(house: House, variant: str) -> None:
    first = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
    assert (await house.call("POST", "/users/signup", first)).status == 201
    again = await house.call("POST", "/users/signup", first | {"email": variant})
    assert (again.status, again.code) == (409, "email_taken")
    signed_in = await house.call("POST", "/users/signin", {"email": variant, "password": PASSWORD})
    assert signed_in.status == 200
    assert signed_in.body["user"]["email"] == "ann@example.org"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"email": "a@b"}, "email"),
        ({"email": "a b@example.org"}, "email"),
        ({"email": "a@example.org\x00"}, "email"),
        ({"email": f"{'a' * 65}@example.org"}, "email"),
        ({"email": f"a@{'b' * 250}.org"}, "email"),
        ({"password": "short12"}, "password"),
        ({"password": "x" * 1025}, "password"),
        ({"password": 12345678}, "password"),
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "line\nfeed"}, "name"),
        ({"is_admin": True}, "is_admin"),
        ({"id": "11111111-1111-4111-8111-111111111111"}, "id"),
    ],
)
async def test_a_bad_sign_up_names_the_field(house: House, change: dict[str, object], field: str) -> None:
    body = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"} | change
    answer = await house.call("POST", "/users/signup", body)
    assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", [field])


async def test_a_long_password_in_any_script_signs_in(house: House) -> None:
    password = "пароль-密码-" * 90
    body = {"email": "ann@example.org", "password": password, "name": "Ann"}
    assert (await house.call("POST", "/users/signup", body)).status == 201
    good = await house.call("POST", "/users/signin", {"email": "ann@example.org", "password": password})
    bad = await house.call("POST", "/users/signin", {"email": "ann@example.org", "password": password[:-1]})
    assert (good.status, bad.status, bad.code) == (200, 401, "bad_credentials")


@pytest.mark.parametrize("email", ["nobody@example.org", "not an address"])
async def test_an_unknown_address_is_answered_like_a_wrong_password(house: House, email: str) -> None:
    ann = await house.person("ann")
    unknown = await house.call("POST", "/users/signin", {"email": email, "password": PASSWORD})
    wrong = await house.call("POST", "/users/signin", {"email": ann.email, "password": "wrong wrong wrong"})
    assert (unknown.status, unknown.code, unknown.body["detail"]) == (wrong.status, wrong.code, wrong.body["detail"])
    assert wrong.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.costly_passwords
async def test_an_unknown_address_takes_as_long_as_a_wrong_password(house: House) -> None:
    ann = await house.person("ann")

    async def seconds(email: str) -> float:
        started = time.perf_counter()
        await house.call("POST", "/users/signin", {"email": email, "password": "wrong wrong wrong"})
        return time.perf_counter() - started

    times = [(await seconds(ann.email), await seconds("nobody@example.org")) for _ in range(7)]
    known, unknown = (statistics.median(each) for each in zip(*times, strict=True))
    # Without the hash for nobody it would be a tenth.
    assert 0.5 < unknown / known < 2.0


@pytest.mark.parametrize("token", [None, "rubbish", "a.b.c", "ey" * 3000])
async def test_without_a_good_token_the_current_user_is_nobody(house: House, token: str | None) -> None:
    answer = await house.call("GET", "/users/currentuser", token=token)
    assert (answer.status, answer.body) == (200, {"currentUser": None})


async def test_a_refresh_rotates_and_the_old_token_ends_the_family(house: House) -> None:
    ann = await house.person("ann")
    pair = await house.call("POST", "/users/refresh", {"refresh_token": ann.refresh_token})
    assert pair.status == 200
    assert pair.body["refresh_token"] != ann.refresh_token
    assert (await house.call("GET", "/orders", token=pair.body["access_token"])).status == 200
    reused = await house.call("POST", "/users/refresh", {"refresh_token": ann.refresh_token})
    assert (reused.status, reused.code) == (401, "bad_refresh_token")
    assert (await house.call("POST", "/users/refresh", {"refresh_token": pair.body["refresh_token"]})).status == 401
    for token in (ann.token, pair.body["access_token"]):
        assert (await house.call("GET", "/orders", token=token)).code == "unauthenticated"


@pytest.mark.parametrize("token", ["x", "x.y", "11111111-1111-4111-8111-111111111111.secret", "." * 50])
async def test_a_refresh_token_nobody_issued(house: House, token: str) -> None:
    answer = await house.call("POST", "/users/refresh", {"refresh_token": token})
    assert (answer.status, answer.code) == (401, "bad_refresh_token")


async def test_a_refresh_token_is_not_stored(house: House) -> None:
    ann = await house.person("ann")
    session_id, secret = ann.refresh_token.split(".")
    async with house.services.pool.connection() as connection:
        row = await (
            await connection.execute("SELECT refresh_hash FROM sessions WHERE session_id = %s", (session_id,))
        ).fetchone()
    assert row is not None
    assert len(row[0]) == 32
    assert secret.encode() not in row[0]


async def test_signing_out_ends_this_session_only(house: House) -> None:
    ann = await house.person("ann")
    elsewhere = (await house.call("POST", "/users/signin", {"email": ann.email, "password": PASSWORD})).body
    assert (await house.call("POST", "/users/signout", token=ann.token)).status == 204
    assert (await house.call("GET", "/orders", token=ann.token)).code == "unauthenticated"
    assert (await house.call("POST", "/users/refresh", {"refresh_token": ann.refresh_token})).status == 401
    assert (await house.call("GET", "/orders", token=elsewhere["access_token"])).status == 200


async def test_signing_out_reaches_the_other_process_within_a_second(house: House, open_house: OpenHouse) -> None:
    ann = await house.person("ann")
    async with open_house() as other:
        assert (await other.call("GET", "/orders", token=ann.token)).status == 200
        assert (await house.call("POST", "/users/signout", token=ann.token)).status == 204

        async def refused() -> bool:
            return (await other.call("GET", "/orders", token=ann.token)).status == 401

        assert await eventually(refused, 3.0)


async def test_when_it_is_answered_signing_out_has_reached_those_who_share_the_port(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "SPREAD_SECONDS", 2.0)  # both share one event loop here, which is late more easily
    async with open_house(api_processes=2) as one, open_house(api_processes=2) as two:
        ann = await one.person("ann")
        assert (await two.call("GET", "/orders", token=ann.token)).status == 200
        assert (await one.call("POST", "/users/signout", token=ann.token)).status == 204
        assert (await two.call("GET", "/orders", token=ann.token)).status == 401


async def test_a_name_changes_without_the_password(house: House) -> None:
    ann = await house.person("ann")
    answer = await house.call("PATCH", "/users/currentuser", {"name": "Anna"}, token=ann.token)
    assert answer.status == 200
    assert answer.body["currentUser"] == {"id": ann.id, "email": ann.email, "name": "Anna", "email_verified": False}
    assert (await house.call("GET", "/users/currentuser", token=ann.token)).body == answer.body


@pytest.mark.parametrize("change", [{"email": "new@example.org"}, {"password": "another good one"}])
async def test_address_and_password_change_only_with_the_present_password(house: House, change: dict[str, str]) -> None:
    ann = await house.person("ann")
    for wrong in ({}, {"current_password": "wrong wrong wrong"}):
        answer = await house.call("PATCH", "/users/currentuser", change | wrong, token=ann.token)
        assert (answer.status, answer.fields) == (422, ["current_password"])
    right = await house.call("PATCH", "/users/currentuser", change | {"current_password": PASSWORD}, token=ann.token)
    assert right.status == 200


async def test_a_new_password_signs_out_everywhere_but_here(house: House) -> None:
    ann = await house.person("ann")
    elsewhere = (await house.call("POST", "/users/signin", {"email": ann.email, "password": PASSWORD})).body
    change = {"password": "another good one", "current_password": PASSWORD}
    assert (await house.call("PATCH", "/users/currentuser", change, token=ann.token)).status == 200
    assert (await house.call("GET", "/orders", token=ann.token)).status == 200
    assert (await house.call("GET", "/orders", token=elsewhere["access_token"])).code == "unauthenticated"
    assert (await house.call("POST", "/users/refresh", {"refresh_token": elsewhere["refresh_token"]})).status == 401
    old = await house.call("POST", "/users/signin", {"email": ann.email, "password": PASSWORD})
    new = await house.call("POST", "/users/signin", {"email": ann.email, "password": "another good one"})
    assert (old.status, new.status) == (401, 200)


async def test_a_session_is_not_begun_with_a_password_that_was_just_changed(house: House) -> None:
    ann = await house.person("ann")
    account = await house.services.accounts.by_email(ann.email)
    assert account is not None
    change = {"password": "another good one", "current_password": PASSWORD}
    await house.call("PATCH", "/users/currentuser", change, token=ann.token)
    session = Session(uuid4(), UUID(ann.id), bytes(32), datetime.now(UTC) + timedelta(days=1))
    assert not await house.services.accounts.begin_session(session, account.password_hash)


async def test_an_address_somebody_has_cannot_be_taken_over(house: House) -> None:
    ann, ben = await house.person("ann"), await house.person("ben")
    change = {"email": ben.email.upper(), "current_password": PASSWORD}
    answer = await house.call("PATCH", "/users/currentuser", change, token=ann.token)
    assert (answer.status, answer.code) == (409, "email_taken")


async def test_an_erased_account_is_gone_and_its_address_free(house: House, open_house: OpenHouse) -> None:
    ann = await house.person("ann")
    async with open_house() as other:
        assert (await house.call("DELETE", "/users/currentuser", token=ann.token)).status == 204
        assert (await house.call("GET", "/orders", token=ann.token)).code == "unauthenticated"

        async def refused() -> bool:
            return (await other.call("GET", "/orders", token=ann.token)).status == 401

        assert await eventually(refused, 3.0)
    assert (await house.call("POST", "/users/refresh", {"refresh_token": ann.refresh_token})).status == 401
    assert (await house.call("POST", "/users/signin", {"email": ann.email, "password": PASSWORD})).status == 401
    again = await house.call("POST", "/users/signup", {"email": ann.email, "password": PASSWORD, "name": "Ann"})
    assert again.status == 201
    assert again.body["user"]["id"] != ann.id

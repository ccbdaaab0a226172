"""A lost password is replaced by a link to the account's address, and by nothing else."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

from adapters.accounts import Accounts
from api import post_office
from tests.accounts.postbox import PASSWORD_CHANGED, RESET, VERIFY, Postbox
from tests.api.conftest import OpenHouse
from tests.api.house import PASSWORD, Answer, House, Person, eventually
from tests.streams.parts import rows

NEW = "quite another one"


async def ask(house: House, email: str) -> Answer:
    return await house.call("POST", "/users/password-reset", {"email": email})


async def confirm(house: House, token: str, password: str = NEW) -> Answer:
    return await house.call("POST", "/users/password-reset/confirm", {"token": token, "password": password})


async def sign_in(house: House, person: Person, password: str) -> int:
    return (await house.call("POST", "/users/signin", {"email": person.email, "password": password})).status


async def reset_token(house: House, postbox: Postbox, person: Person, count: int = 1) -> str:
    assert (await ask(house, person.email.upper())).status == 202
    return await postbox.token(person.email, RESET, count)


async def test_a_reset_gives_a_new_password_and_ends_every_session_everywhere(
    house: House, open_house: OpenHouse, postbox: Postbox
) -> None:
    ann = await house.person("ann")
    async with open_house() as other:
        assert (await other.call("GET", "/orders", token=ann.token)).status == 200
        token = await reset_token(house, postbox, ann)
        assert (await confirm(house, token)).status == 204
        assert (await house.call("GET", "/orders", token=ann.token)).status == 401
        assert (await house.call("POST", "/users/refresh", {"refresh_token": ann.refresh_token})).status == 401

        async def refused() -> bool:
            return (await other.call("GET", "/orders", token=ann.token)).status == 401

        assert await eventually(refused, 3.0)
    assert (await sign_in(house, ann, PASSWORD), await sign_in(house, ann, NEW)) == (401, 200)
    again = await confirm(house, token, "and one more of them")
    assert (again.status, again.code) == (400, "bad_link")
    await postbox.wait_for(ann.email, PASSWORD_CHANGED)


async def test_one_of_many_who_follow_it_at_once_chooses_the_password(house: House, postbox: Postbox) -> None:
    ann = await house.person("ann")
    token = await reset_token(house, postbox, ann)
    passwords = [f"{NEW} {number}" for number in range(6)]
    answers = await asyncio.gather(*(confirm(house, token, password) for password in passwords))
    assert sorted(answer.status for answer in answers) == [204] + [400] * 5
    statuses = [await sign_in(house, ann, password) for password in passwords]
    assert [status == 200 for status in statuses] == [answer.status == 204 for answer in answers]


async def test_nobody_learns_who_has_an_account(house: House, postbox: Postbox, database_url: str) -> None:
    ann = await house.person("ann")
    await postbox.wait_for(ann.email, VERIFY)
    known, unknown = await ask(house, ann.email), await ask(house, "nobody@example.org")
    assert (known.status, known.raw) == (unknown.status, unknown.raw) == (202, b"")
    own = {"date": "", "x-request-id": ""}
    first, second = ({name.lower(): value for name, value in one.headers.items()} | own for one in (known, unknown))
    assert first == second
    await postbox.wait_for(ann.email, RESET)

    async def sent() -> bool:
        return rows(database_url, "SELECT count(*) FROM letters") == [(0,)]

    assert await eventually(sent)
    assert not postbox.letters("nobody@example.org")


async def test_whether_there_is_an_account_is_not_looked_up_before_the_answer(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await house.person("ann")

    async def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Accounts, "_account", fail)
    assert (await ask(house, ann.email)).status == 202


async def test_an_unknown_address_takes_as_long(
    house: House, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await house.person("ann")
    await postbox.wait_for(ann.email, VERIFY)
    monkeypatch.setattr(post_office, "IDLE_SECONDS", 60.0)  # so that no letter is sent beside what is measured
    await asyncio.sleep(0.1)

    async def seconds(email: str) -> float:
        started = time.perf_counter()
        await ask(house, email)
        return time.perf_counter() - started

    times = [(await seconds(ann.email), await seconds(f"nobody-{n}@example.org")) for n in range(25)]
    known, unknown = (statistics.median(column) for column in zip(*times, strict=True))
    # A letter written and handed over before the answer takes several times as long.
    assert 0.5 < unknown / known < 2.0


async def test_a_password_that_is_refused_does_not_spend_the_link(house: House, postbox: Postbox) -> None:
    ann = await house.person("ann")
    token = await reset_token(house, postbox, ann)
    for weak in ("short", "password", ann.email):
        assert (await confirm(house, token, weak)).fields == ["password"]
    assert (await confirm(house, token)).status == 204


async def test_a_newer_link_or_a_changed_password_cancels_it(house: House, postbox: Postbox) -> None:
    ann = await house.person("ann")
    first = await reset_token(house, postbox, ann)
    second = await reset_token(house, postbox, ann, count=2)
    assert (await confirm(house, first)).code == "bad_link"
    change = {"password": "another good one", "current_password": PASSWORD}
    assert (await house.call("PATCH", "/users/currentuser", change, token=ann.token)).status == 200
    assert (await confirm(house, second)).code == "bad_link"
    assert await sign_in(house, ann, "another good one") == 200


async def test_it_is_good_for_an_hour_and_for_nothing_else(house: House, postbox: Postbox, database_url: str) -> None:
    ann = await house.person("ann")
    verify, reset = await postbox.token(ann.email, VERIFY), await reset_token(house, postbox, ann)
    assert (await confirm(house, verify)).code == "bad_link"
    assert (await house.call("POST", "/users/verify-email", {"token": reset})).code == "bad_link"
    left = rows(
        database_url,
        "SELECT expires_at - now() BETWEEN '59 min' AND '1 h' FROM links WHERE purpose = 'password_reset'",
    )
    assert left == [(True,)]
    rows(database_url, "UPDATE links SET expires_at = now()")
    assert (await confirm(house, reset)).code == "bad_link"


async def test_one_mailbox_is_not_filled_whoever_it_belongs_to(open_house: OpenHouse) -> None:
    async with open_house(rate_limit=True) as house:
        ann = await house.person("ann")
        for email in (ann.email, "nobody@example.org"):
            answers = [await ask(house, email.upper() if number % 2 else email) for number in range(6)]
            assert [answer.status for answer in answers] == [202] * 5 + [429]

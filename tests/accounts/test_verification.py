"""An address is verified by a link; what the link is worth, and when it ends."""

from __future__ import annotations

import asyncio
from uuid import UUID

import psycopg
import pytest

from adapters.letters import Letters, hash_of
from api import limits, post_office
from api.limits import Rule
from domain.published import UserUpdated
from tests.accounts.postbox import ADDRESS_CHANGED, VERIFY, Postbox
from tests.api.conftest import OpenHouse
from tests.api.house import EVENT, PASSWORD, Answer, House, Person, eventually
from tests.streams.parts import rows


async def follow(house: House, token: str) -> Answer:
    return await house.call("POST", "/users/verify-email", {"token": token})


async def is_verified(house: House, person: Person) -> bool:
    current = (await house.call("GET", "/users/currentuser", token=person.token)).body["currentUser"]
    signed_in = await house.call("POST", "/users/signin", {"email": current["email"], "password": PASSWORD})
    assert signed_in.body["user"] == current
    verified: bool = current["email_verified"]
    return verified


async def test_the_link_of_a_sign_up_verifies_its_address_once(house: House, postbox: Postbox) -> None:
    ann = await house.person("ann")
    assert not await is_verified(house, ann)
    token = await postbox.token(ann.email, VERIFY)
    assert (await follow(house, token)).status == 204
    assert await is_verified(house, ann)
    again = await follow(house, token)
    assert (again.status, again.code) == (400, "bad_link")
    history = await house.services.log.history(UUID(ann.id))
    assert [event.data for event in history[1:]] == [UserUpdated(("email_verified",), admin=False)]


async def test_a_link_is_good_for_one_of_those_who_follow_it_at_once(house: House, postbox: Postbox) -> None:
    ann = await house.person("ann")
    token = await postbox.token(ann.email, VERIFY)
    answers = await asyncio.gather(*(follow(house, token) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [204] + [400] * 7
    assert await house.types(ann.id) == ["UserCreated", "UserUpdated"]


async def test_a_token_nobody_was_sent(house: House) -> None:
    for token in ("x", "A" * 43, "\u00e4" * 43):
        answer = await follow(house, token)
        assert (answer.status, answer.code) == (400, "bad_link")


async def test_a_newer_link_takes_the_place_of_the_older(house: House, postbox: Postbox) -> None:
    ann = await house.person("ann")
    first = await postbox.token(ann.email, VERIFY)
    assert (await house.call("POST", "/users/verification", token=ann.token)).status == 202
    second = await postbox.token(ann.email, VERIFY, count=2)
    assert (await follow(house, first)).code == "bad_link"
    assert (await follow(house, second)).status == 204
    assert (await house.call("POST", "/users/verification", token=ann.token)).status == 204


async def test_a_link_is_good_for_a_day(house: House, postbox: Postbox, database_url: str) -> None:
    ann = await house.person("ann")
    token = await postbox.token(ann.email, VERIFY)
    left = rows(database_url, "SELECT expires_at - now() BETWEEN '23 h 59 min' AND '24 h' FROM links")
    assert left == [(True,)]
    rows(database_url, "UPDATE links SET expires_at = now() - interval '1 second'")
    assert (await follow(house, token)).code == "bad_link"
    assert not await is_verified(house, ann)


async def test_a_new_address_is_verified_anew_and_the_old_one_is_told(house: House, postbox: Postbox) -> None:
    ann = await house.person("ann")
    assert (await follow(house, await postbox.token(ann.email, VERIFY))).status == 204
    change = {"email": "new@example.org", "current_password": PASSWORD}
    changed = await house.call("PATCH", "/users/currentuser", change, token=ann.token)
    assert changed.body["currentUser"]["email_verified"] is False
    assert not await is_verified(house, ann)
    told = await postbox.wait_for(ann.email, ADDRESS_CHANGED)
    assert "new@example.org" not in told.as_string()
    assert (await follow(house, await postbox.token("new@example.org", VERIFY))).status == 204
    assert await is_verified(house, ann)


async def test_the_same_address_again_stays_verified(house: House, postbox: Postbox) -> None:
    ann = await house.person("ann")
    assert (await follow(house, await postbox.token(ann.email, VERIFY))).status == 204
    changed = await house.call("PATCH", "/users/currentuser", {"email": ann.email.upper()}, token=ann.token)
    assert changed.body["currentUser"]["email_verified"] is True
    assert await is_verified(house, ann)


async def test_a_link_to_the_former_address_does_not_verify_the_new_one(
    house: House, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await house.person("ann")
    token = await postbox.token(ann.email, VERIFY)
    monkeypatch.setattr(post_office, "IDLE_SECONDS", 60.0)  # no newer link takes its place
    await asyncio.sleep(0.1)
    change = {"email": "new@example.org", "current_password": PASSWORD}
    assert (await house.call("PATCH", "/users/currentuser", change, token=ann.token)).status == 200
    assert (await follow(house, token)).code == "bad_link"
    assert not await is_verified(house, ann)


async def test_no_link_is_made_while_the_address_changes(house: House, postbox: Postbox, database_url: str) -> None:
    """Made in that moment, it would be good for the new address and go to the old one."""
    ann = await house.person("ann")
    await postbox.wait_for(ann.email, VERIFY)
    letters = Letters(house.services.pool, house.services.house_key)
    rows(database_url, "DELETE FROM links")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE accounts SET email_verified_at = NULL WHERE user_id = %s", (ann.id,))
        connection.execute("DELETE FROM links WHERE user_id = %s", (ann.id,))
        made = asyncio.create_task(letters.new_link(UUID(ann.id), "verify_email"))
        assert await asyncio.wait([made], timeout=0.3) == (set(), {made})
        connection.commit()
    assert await letters.link_owner(await made, "verify_email") == UUID(ann.id)


async def test_where_it_is_required_only_verified_accounts_list_and_order(
    open_house: OpenHouse, postbox: Postbox
) -> None:
    new = {"title": "x", "event": EVENT, "price": {"amount": 1, "currency": "EUR"}, "quantity": 1}
    async with open_house(verified_email=True) as house:
        ann, ben = await house.person("ann"), await house.person("ben")
        refused = await house.call("POST", "/tickets", new, token=ann.token)
        assert (refused.status, refused.code) == (403, "email_not_verified")
        assert (await follow(house, await postbox.token(ann.email, VERIFY))).status == 204
        ticket = await house.call("POST", "/tickets", new, token=ann.token)
        assert ticket.status == 201
        order = await house.order(ben, ticket.body["id"])
        assert (order.status, order.code) == (403, "email_not_verified")
        assert (await follow(house, await postbox.token(ben.email, VERIFY))).status == 204
        assert (await house.order(ben, ticket.body["id"])).status == 201
        change = {"email": "new@example.org", "current_password": PASSWORD}
        assert (await house.call("PATCH", "/users/currentuser", change, token=ann.token)).status == 200
        assert (await house.call("POST", "/tickets", new, token=ann.token)).code == "email_not_verified"


async def test_neither_token_nor_letter_stays_in_the_database(
    house: House, postbox: Postbox, database_url: str
) -> None:
    ann = await house.person("ann")
    token = await postbox.token(ann.email, VERIFY)
    with psycopg.connect(database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            content = connection.execute(f"SELECT t::text FROM {table} AS t".encode()).fetchall()
            assert not any(form in row for (row,) in content for form in (token, token.encode().hex())), table
    assert rows(database_url, "SELECT token_hash FROM links") == [(hash_of(token),)]

    async def gone() -> bool:
        return rows(database_url, "SELECT count(*) FROM letters") == [(0,)]

    assert await eventually(gone)


async def test_erasing_the_account_takes_its_links_and_letters(
    house: House, postbox: Postbox, database_url: str
) -> None:
    ann = await house.person("ann")
    token = await postbox.token(ann.email, VERIFY)
    rows(database_url, "INSERT INTO letters (kind, user_id, recipient, due_at)"
         " VALUES ('address_changed', %s, 'old@example.org', now() + interval '1 hour')", ann.id)  # fmt: skip
    assert (await house.call("DELETE", "/users/currentuser", token=ann.token)).status == 204
    assert rows(database_url, "SELECT count(*) FROM links") == [(0,)]
    assert rows(database_url, "SELECT count(*) FROM letters") == [(0,)]
    assert (await follow(house, token)).code == "bad_link"


async def test_letters_are_bounded_by_address_and_by_mailbox(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(rate_limit=True) as house:
        ann = await house.person("ann")
        answers = [await house.call("POST", "/users/verification", token=ann.token) for _ in range(6)]
        assert [answer.status for answer in answers] == [202] * 5 + [429]
    monkeypatch.setattr(limits, "LETTERS_PER_ADDRESS", Rule(burst=2, per_second=0.01))
    async with open_house(rate_limit=True) as house:
        assert [(await follow(house, "x")).status for _ in range(3)] == [400, 400, 429]
        mail = {"email": "somebody@example.org"}
        assert (await house.call("POST", "/users/password-reset", mail)).status == 429

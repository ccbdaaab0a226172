"""After an erasure the events are there and the person is gone, from every table."""

from __future__ import annotations

from uuid import UUID

from adapters.personal_data import find_person_key
from tests.api.house import House
from tests.backup.conftest import Stagedoor
from tests.domain.scenes import BUYER
from tests.privacy.searching import EMAIL, NAME, PASSWORD, columns_with, stored
from tests.streams.parts import rows

SIGN_UP = {"email": EMAIL, "password": PASSWORD, "name": NAME}


async def test_the_events_stay_and_the_person_is_gone(house: House, database_url: str) -> None:
    signed_up = await house.call("POST", "/users/signup", SIGN_UP, key="signing up")
    token, user_id = signed_up.body["access_token"], signed_up.body["user"]["id"]
    ticket = await house.listing(await house.person("seller"))
    items = {"items": [{"ticket_id": ticket["id"], "quantity": 1}]}
    assert (await house.call("POST", "/orders", items, token=token, key="ordering")).status == 201
    assert (await house.call("POST", "/collection", {"ticket_id": ticket["id"]}, token=token)).status == 201
    sealed = "SELECT sealed_key, email_hash, email, name FROM accounts JOIN personal_keys USING (user_id)"
    [secrets] = rows(database_url, sealed + " WHERE user_id = %s", user_id)
    answers = [row[0] for row in rows(database_url, "SELECT answer FROM outcomes")]
    assert len(answers) == 2
    others = rows(database_url, sealed + " WHERE user_id <> %s", user_id)

    assert (await house.call("DELETE", "/users/currentuser", token=token)).status == 204
    await house.project()
    assert columns_with(database_url) == set()
    left = list(stored(database_url))
    for secret in (*secrets, *answers):
        assert not any(secret in value for _, value in left)
    for table in ("personal_keys", "accounts", "collection"):
        assert rows(database_url, f"SELECT * FROM {table} WHERE user_id = %s", user_id) == []
    assert rows(database_url, "SELECT * FROM outcomes") == []
    async with house.services.pool.connection() as connection:
        assert await find_person_key(connection, house.services.house_key, UUID(user_id)) is None
    # What they did is all there, and everybody else.
    assert await house.types(user_id) == ["UserCreated", "UserErased"]
    assert rows(database_url, sealed) == others


async def test_an_answer_under_the_first_address_goes_when_the_address_does(house: House, database_url: str) -> None:
    token = (await house.call("POST", "/users/signup", SIGN_UP, key="k")).body["access_token"]
    change = {"email": "new@example.org", "current_password": PASSWORD}
    assert (await house.call("PATCH", "/users/currentuser", change, token=token)).status == 200
    assert rows(database_url, "SELECT * FROM outcomes") == []


async def test_the_address_is_free_again_and_the_new_account_is_another(house: House) -> None:
    first = (await house.call("POST", "/users/signup", SIGN_UP, key="k")).body
    await house.call("DELETE", "/users/currentuser", token=first["access_token"])
    again = await house.call("POST", "/users/signup", SIGN_UP, key="k")
    assert again.status == 201
    assert again.body["user"]["id"] != first["user"]["id"]


def test_verify_finds_a_key_that_outlived_its_account(database_url: str, stagedoor: Stagedoor) -> None:
    rows(database_url, "INSERT INTO personal_keys VALUES (%s, '')", BUYER)
    said = stagedoor("verify")
    assert (said.code, f"user {BUYER} has a key but no account" in said.out) == (1, True), said

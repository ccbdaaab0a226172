"""Names and addresses are sealed with a key for each person, and everything that asks for them goes on working."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from adapters.accounts import Accounts
from adapters.house_key import HouseKey, Unreadable, open_house_key
from adapters.personal_data import find_person_key, make_person_key, open_person_key
from tests.api.house import House, settings_of
from tests.privacy.searching import EMAIL, NAME, PASSWORD, columns_with, dump, is_in
from tests.streams.parts import rows

SIGN_UP = {"email": EMAIL, "password": PASSWORD, "name": NAME}
SIGN_IN = {"email": EMAIL.upper(), "password": PASSWORD}


async def test_nothing_of_a_person_is_in_the_database(house: House, database_url: str, tmp_path: Path) -> None:
    signed_up = await house.call("POST", "/users/signup", SIGN_UP, key="k")
    token = signed_up.body["access_token"]
    seller = await house.person("seller")
    order = await house.call(
        "POST", "/orders", {"items": [{"ticket_id": (await house.listing(seller))["id"], "quantity": 1}]}, token=token
    )
    await house.call("POST", "/payments", {"order_id": order.body["id"], "payment_method": "pm_card_visa"}, token=token)
    await house.call("PATCH", "/users/currentuser", {"name": f"{NAME} II"}, token=token)
    await house.project()
    assert columns_with(database_url) == set()
    text = dump(database_url, tmp_path)
    assert "copy public.accounts" in text
    assert not is_in(text)
    assert "private key" not in text
    # The search would have found it.
    rows(database_url, "UPDATE accounts SET name = %s", NAME.encode())
    assert columns_with(database_url) == {"accounts.name"}
    assert is_in(dump(database_url, tmp_path))


async def test_who_asks_by_address_finds_it(house: House) -> None:
    signed_up = await house.call("POST", "/users/signup", SIGN_UP)
    assert signed_up.body["user"]["email"] == EMAIL.lower()
    signed_in = await house.call("POST", "/users/signin", SIGN_IN)
    assert (signed_in.status, signed_in.body["user"]) == (200, signed_up.body["user"])
    taken = await house.call("POST", "/users/signup", SIGN_UP | {"email": EMAIL.upper()})
    assert (taken.status, taken.code) == (409, "email_taken")


async def test_a_change_of_name_or_address_is_sealed_with_the_same_key(house: House, database_url: str) -> None:
    token = (await house.call("POST", "/users/signup", SIGN_UP)).body["access_token"]
    keys = rows(database_url, "SELECT * FROM personal_keys")
    change = {"email": "new@example.org", "current_password": PASSWORD}
    assert (await house.call("PATCH", "/users/currentuser", change, token=token)).status == 200
    shown = (await house.call("PATCH", "/users/currentuser", {"name": "Somebody Else"}, token=token)).body
    assert (shown["currentUser"]["email"], shown["currentUser"]["name"]) == ("new@example.org", "Somebody Else")
    assert (await house.call("GET", "/users/currentuser", token=token)).body == shown
    assert rows(database_url, "SELECT * FROM personal_keys") == keys
    assert (await house.call("POST", "/users/signin", SIGN_IN)).status == 401
    assert (await house.call("POST", "/users/signin", SIGN_IN | {"email": "new@example.org"})).status == 200
    # The old address is free again.
    assert (await house.call("POST", "/users/signup", SIGN_UP)).status == 201


async def test_one_persons_data_does_not_open_as_anothers(house: House, database_url: str) -> None:
    """Whoever can write to the database cannot make one person appear as another."""
    ann, ben = await house.person("ann"), await house.person("ben")
    name = "SELECT name FROM accounts WHERE user_id = %s"
    rows(database_url, "UPDATE accounts SET name = (" + name + ") WHERE user_id = %s", ben.id, ann.id)
    with pytest.raises(Unreadable):
        await house.services.accounts.by_id(UUID(ann.id))
    assert (await house.call("GET", "/users/currentuser", token=ann.token)).status == 500


async def test_others_can_seal_for_a_person(house: House) -> None:
    ann = await house.person("ann")
    house_key = house.services.house_key
    async with house.services.pool.connection() as connection:
        key = await find_person_key(connection, house_key, UUID(ann.id))
        assert key is not None
        sealed = key.seal("letter.address", ann.email)
        assert key.open("letter.address", sealed) == ann.email
        with pytest.raises(Unreadable):
            key.open("letter.name", sealed)
        assert await find_person_key(connection, house_key, uuid4()) is None


async def test_signing_keys_are_sealed_and_older_ones_still_read(house: House, database_url: str) -> None:
    ann = await house.person("ann")
    [(stored,)] = rows(database_url, "SELECT private_pem FROM signing_keys")
    assert "PRIVATE KEY" not in stored
    await house.services.keys.load()
    assert (await house.call("GET", "/orders", token=ann.token)).status == 200


async def test_opening_an_account_costs_less_than_a_tenth_of_a_millisecond(
    house: House, database_url: str, tmp_path: Path
) -> None:
    house_key = open_house_key(settings_of(database_url, tmp_path))
    user_id = uuid4()
    key, sealed_key = make_person_key(house_key, user_id)
    email, name = key.seal("email", EMAIL), key.seal("name", NAME)

    def once() -> float:
        began = time.perf_counter()
        house_key.address_hash(EMAIL)
        opened = open_person_key(house_key, user_id, sealed_key)
        assert (opened.open("email", email), opened.open("name", name)) == (EMAIL, NAME)
        return time.perf_counter() - began

    assert sorted(once() for _ in range(500))[250] < 0.000_1


async def test_with_another_house_key_nobody_is_found(house: House) -> None:
    ann = await house.person("ann")
    others = Accounts(house.services.pool, HouseKey(bytes(32)))
    assert await others.by_email(ann.email) is None
    with pytest.raises(Unreadable):
        await others.by_id(UUID(ann.id))

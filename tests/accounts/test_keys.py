"""`stagedoor keys`: rotation with an overlap, and the end of a key that others may know."""

from __future__ import annotations

import asyncio
from pathlib import Path

import jwt
from psycopg_pool import AsyncConnectionPool

from adapters.token_keys import KeyState, TokenKeys
from tests.api.command import stagedoor
from tests.api.conftest import OpenHouse
from tests.api.house import House, Person, eventually
from tests.conftest import HOUSE_KEY
from tests.streams.parts import rows


def kid_of(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


async def published(house: House) -> set[str]:
    return {key["kid"] for key in (await house.call("GET", "//.well-known/jwks.json")).body["keys"]}


async def is_good(house: House, token: str) -> bool:
    return (await house.call("GET", "/orders", token=token)).status == 200


async def signs_with(house: House, kid: str) -> bool:
    return house.services.keys.signing().kid == kid


async def refreshed(house: House, person: Person) -> str:
    token: str = (await house.call("POST", "/users/refresh", {"refresh_token": person.refresh_token})).body[
        "access_token"
    ]
    return token


async def test_after_a_rotation_both_keys_verify_and_the_new_one_signs(
    house: House, open_house: OpenHouse, database_url: str, tmp_path: Path
) -> None:
    ann = await house.person("ann")
    old = kid_of(ann.token)
    async with open_house() as other:
        code, out, errors = await stagedoor(database_url, tmp_path, "keys", "rotate")
        assert (code, errors) == (0, "")
        new = out.split()[0]
        for one in (house, other):
            assert await eventually(lambda one=one: signs_with(one, new), 1.5)
            assert await published(one) == {old, new}
            assert await is_good(one, ann.token)
        token = await refreshed(house, ann)
        assert kid_of(token) == new
        assert await is_good(other, token)
        assert await is_good(other, ann.token)
    code, out, _ = await stagedoor(database_url, tmp_path, "keys", "list")
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 2)
    assert lines[0].startswith(new)
    assert lines[0].endswith("signs and verifies")
    assert lines[1].startswith(old)
    assert "verifies what it signed, until" in lines[1]
    assert "PRIVATE" not in out


async def test_a_key_that_leaked_ends_within_a_second_on_every_process(
    house: House, open_house: OpenHouse, database_url: str, tmp_path: Path
) -> None:
    ann = await house.person("ann")
    leaked = kid_of(ann.token)
    async with open_house() as other:
        # Remembered by both, so that nothing is verified again for its own sake.
        assert await is_good(house, ann.token)
        assert await is_good(other, ann.token)
        code, out, errors = await stagedoor(database_url, tmp_path, "keys", "retire", leaked)
        assert (code, errors) == (0, "")
        assert leaked in out
        for one in (house, other):

            async def refused(one: House = one) -> bool:
                return not await is_good(one, ann.token)

            assert await eventually(refused, 3.0)
        for one in (house, other):
            assert leaked not in await published(one)
        token = await refreshed(other, ann)
        assert kid_of(token) != leaked
        assert await is_good(house, token)
    assert rows(database_url, "SELECT private_pem FROM signing_keys WHERE kid = %s", leaked) == [("",)]
    (row,) = [row for row in await house.services.keys.rows() if row.kid == leaked]
    assert row.state is KeyState.ENDED


async def test_a_retired_key_is_over_once_its_last_token_has_expired(
    pool: AsyncConnectionPool, database_url: str
) -> None:
    held = TokenKeys(pool, HOUSE_KEY)
    await held.load()
    old = held.signing().kid
    new = await held.rotate()
    await held.load()
    assert held.verifying(old) is not None
    rows(database_url, "UPDATE signing_keys SET retired_at = now() - interval '16 minutes' WHERE kid = %s", old)
    await held.load()
    assert held.verifying(old) is None
    assert [(row.kid, row.state) for row in await held.rows()] == [(new, KeyState.SIGNS), (old, KeyState.OVER)]


async def test_a_retired_key_can_be_ended_too_and_no_new_one_is_made_for_it(pool: AsyncConnectionPool) -> None:
    held = TokenKeys(pool, HOUSE_KEY)
    await held.load()
    old = held.signing().kid
    new = await held.rotate()
    assert await held.end(old)
    assert await held.end(old)
    assert not await held.end("another")
    await held.load()
    assert held.kids() == {new}


async def test_rotations_at_the_same_time_leave_one_key_that_signs(pool: AsyncConnectionPool) -> None:
    held = TokenKeys(pool, HOUSE_KEY)
    await held.load()
    made = set(await asyncio.gather(*(held.rotate() for _ in range(4))))
    signing = [row.kid for row in await held.rows() if row.state is KeyState.SIGNS]
    assert len(signing) == 1
    assert signing[0] in made


async def test_a_key_there_is_not_is_said_in_one_line(database_url: str, tmp_path: Path) -> None:
    code, out, errors = await stagedoor(database_url, tmp_path, "keys", "retire", "unknown")
    assert (code, out) == (2, "")
    assert len(errors.splitlines()) == 1
    assert "Traceback" not in errors

"""`stagedoor admin`: administrators are made by command only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.command import stagedoor
from tests.api.house import PASSWORD, House, eventually


async def test_an_administrator_is_made_and_unmade(house: House, database_url: str, tmp_path: Path) -> None:
    _, _, _, order = await house.ordered()
    boss = await house.person("boss")
    path = f"/orders/{order['id']}"
    assert (await house.call("GET", path, token=boss.token)).status == 404

    code, out, errors = await stagedoor(database_url, tmp_path, "admin", boss.email.upper())
    assert (code, errors) == (0, "")
    assert boss.email.upper() in out
    pair = (await house.call("POST", "/users/refresh", {"refresh_token": boss.refresh_token})).body
    assert (await house.call("GET", path, token=pair["access_token"])).status == 200

    assert (await stagedoor(database_url, tmp_path, "admin", boss.email, "--revoke"))[0] == 0

    async def refused() -> bool:
        return (await house.call("GET", path, token=pair["access_token"])).status == 401

    assert await eventually(refused, 2.0)
    again = (await house.call("POST", "/users/signin", {"email": boss.email, "password": PASSWORD})).body
    assert (await house.call("GET", path, token=again["access_token"])).status == 404
    types = await house.types(boss.id)
    assert types == ["UserCreated", "UserUpdated", "UserUpdated"]


@pytest.mark.parametrize("arguments", [("nobody@example.org",), ()])
async def test_used_wrongly_it_says_so_in_one_line(
    database_url: str, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    code, out, errors = await stagedoor(database_url, tmp_path, "admin", *arguments)
    assert (code, out) == (2, "")
    assert len(errors.splitlines()) == 1
    assert "Traceback" not in errors

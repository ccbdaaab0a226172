"""Passwords that are guessed first are refused, wherever one is chosen."""

from __future__ import annotations

import pytest

from adapters.common_passwords import is_common
from api.new_passwords import check_new_password
from api.problems import Refused
from tests.api.house import PASSWORD, House


@pytest.mark.parametrize(
    "password", ["password", "PassWord", "12345678", "ｐａｓｓｗｏｒｄ", "iloveyou", "  qwertyuiop "]
)
def test_common_passwords_are_on_the_list_however_they_are_written(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize("password", [PASSWORD, "battery staple", "MIT License", "# MIT License", "пароль-密码"])
def test_others_are_not(password: str) -> None:
    assert not is_common(password)


@pytest.mark.parametrize(
    "password",
    [
        "ann.miller@example.org",
        "Ann.Miller",
        "annmiller",
        "ann miller 1984",
        "Miller, Ann",
        "example.org",
        "StageDoor1",
    ],
)
def test_what_the_account_gives_away_is_refused(password: str) -> None:
    names = {"Miller, Ann": "miller ann"}
    with pytest.raises(Refused) as refused:
        check_new_password(password, "ann.miller@example.org", names.get(password, "Ann Miller"))
    assert [error.field for error in refused.value.errors] == ["password"]


@pytest.mark.parametrize("password", ["ann miller sings", "1984198419841984", "!!!!!!!!!!", "x" * 1024])
def test_anything_longer_is_the_persons_own_choice(password: str) -> None:
    check_new_password(password, "ann.miller@example.org", "***")


async def test_they_are_refused_at_sign_up_and_at_a_change(house: House) -> None:
    body = {"email": "ann@example.org", "password": "Baseball", "name": "Ann"}
    answer = await house.call("POST", "/users/signup", body)
    assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", ["password"])
    ann = await house.person("ann")
    for password, more in (("baseball", {}), ("Ann the Great", {"name": "Ann the Great"})):
        change = {"password": password, "current_password": PASSWORD, **more}
        answer = await house.call("PATCH", "/users/currentuser", change, token=ann.token)
        assert (answer.status, answer.fields) == (422, ["password"])

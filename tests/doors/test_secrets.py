"""What must never be stored, answered or logged as it is."""

from __future__ import annotations

import logging

import pytest

from tests.api.house import PASSWORD, House


@pytest.mark.costly_passwords
async def test_passwords_are_stored_by_argon2id(house: House) -> None:
    """OWASP's first choice: 19 MiB, two passes, one lane."""
    ann = await house.person("ann")
    account = await house.services.accounts.by_email(ann.email)
    assert account is not None
    assert account.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in account.password_hash


async def test_a_card_number_is_refused_and_not_repeated(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """It is in no answer and in no log, in whatever field it comes."""
    caplog.set_level(logging.DEBUG)
    _, buyer, _, order = await house.ordered()
    number = "4000056655665556"
    bodies: list[dict[str, object]] = [
        {"payment_method": number},
        {"payment_method": {"card": {"number": number}}},
        {"card": {"number": number, "cvc": "123"}},
        {"card_number": number},
    ]
    for body in bodies:
        answer = await house.call("POST", "/payments", {"order_id": order["id"]} | body, token=buyer.token)
        assert answer.code == "validation_failed", body
        assert number.encode() not in answer.raw
    assert number not in caplog.text


async def test_neither_password_nor_token_is_logged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """With everything logged that any library here could log."""
    caplog.set_level(logging.DEBUG)
    ann = await house.person("ann")
    assert (await house.call("GET", "/orders", token=ann.token)).status == 200
    assert (await house.call("POST", "/users/signin", {"email": ann.email, "password": PASSWORD + "x"})).status == 401
    assert (await house.call("POST", "/users/refresh", {"refresh_token": ann.refresh_token})).status == 200
    for secret in (PASSWORD, ann.token, ann.refresh_token, ann.email):
        assert secret not in caplog.text

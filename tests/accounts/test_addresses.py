"""One form for all ways to write one address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.emails import checked, normalised
from api.problems import Refused
from tests.api.house import PASSWORD, House


@pytest.mark.parametrize(
    ("written", "form"),
    [
        (" Ann@Example.ORG ", "ann@example.org"),
        ("ann@bücher.example", "ann@bücher.example"),
        ("ann@BÜCHER.example", "ann@bücher.example"),
        ("ann@bu\u0308cher.example", "ann@bücher.example"),
        ("ann@xn--bcher-kva.example", "ann@bücher.example"),
        ("ann@XN--BCHER-KVA.example", "ann@bücher.example"),
        ("ann@bücher\u3002example", "ann@bücher.example"),
        ("ann@straße.example", "ann@straße.example"),
        ("Jose\u0301@example.org", "josé@example.org"),
        ("a_b@under_score.example", "a_b@under_score.example"),
    ],
)
def test_one_address_has_one_form(written: str, form: str) -> None:
    assert checked(written, "email") == form


@pytest.mark.parametrize("written", ["ann@xn--a.example", "ann@-bücher.example", "ann@ü"])
def test_a_domain_that_cannot_be_is_refused(written: str) -> None:
    with pytest.raises(Refused):
        checked(written, "email")


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_form_of_a_form_is_itself(local: str, domain: str) -> None:
    once = normalised(f"{local}@{domain}")
    try:
        form = checked(once, "email")
    except Refused:
        return
    assert normalised(form) == form


async def test_an_account_is_found_by_any_of_them(house: House) -> None:
    body = {"email": "ann@xn--bcher-kva.example", "password": PASSWORD, "name": "Ann"}
    assert (await house.call("POST", "/users/signup", body)).status == 201
    signed_in = await house.call("POST", "/users/signin", {"email": "Ann@Bücher.example", "password": PASSWORD})
    assert signed_in.body["user"]["email"] == "ann@bücher.example"
    assert (await house.call("POST", "/users/signup", body | {"email": "ann@bücher.example"})).code == "email_taken"

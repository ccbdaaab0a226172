"""Access tokens: only ours, only while they are good."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.token_keys import thumbprint
from api.auth import AUDIENCE, ISSUER, TYPE
from tests.api.conftest import OpenHouse
from tests.api.house import House, Person


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def signed(house: House, claims: dict[str, Any], **header: Any) -> str:
    """A token signed with the house's own key, whatever is in it."""
    key = house.services.keys.signing()
    headers = {name: value for name, value in ({"kid": key.kid, "typ": TYPE} | header).items() if value is not None}
    return jwt.encode(claims, key.private, "EdDSA", headers=headers)


async def is_refused(house: House, token: str) -> bool:
    answer = await house.call("GET", "/orders", token=token)
    if answer.status == 401:
        assert answer.code == "unauthenticated"
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    return answer.status == 401


async def test_a_token_says_who_it_is_for_and_how_long(house: House) -> None:
    ann = await house.person("ann")
    header, claims = jwt.get_unverified_header(ann.token), claims_of(ann.token)
    assert (header["alg"], header["typ"]) == ("EdDSA", "at+jwt")
    assert set(claims) == {"iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti", "adm"}
    assert (claims["iss"], claims["aud"], claims["sub"], claims["adm"]) == (ISSUER, AUDIENCE, ann.id, False)
    assert claims["exp"] - claims["iat"] == 600
    assert not await is_refused(house, signed(house, claims))


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody"},
        {"aud": "another-api"},
        {"aud": [AUDIENCE, "another-api"]},
        {"sub": "not an id"},
        {"sid": "not an id"},
        {"sub": 7},
        {"exp": 1},
        {"exp": "soon"},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        *({name: None} for name in ("iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti", "adm")),
    ],
)
async def test_a_claim_that_is_wrong_or_missing(house: House, change: dict[str, Any]) -> None:
    ann = await house.person("ann")
    claims = {name: value for name, value in (claims_of(ann.token) | change).items() if value is not None}
    assert await is_refused(house, signed(house, claims))


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"kid": None},
        {"kid": "unknown"},
        {"jku": "https://example.org/keys"},
        {"x5u": "https://example.org/keys"},
        {"x5c": ["MIIB"]},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
        {"crit": ["exp"]},
    ],
)
async def test_a_header_that_is_not_ours(house: House, header: dict[str, Any]) -> None:
    ann = await house.person("ann")
    assert await is_refused(house, signed(house, claims_of(ann.token), **header))


async def test_a_token_of_another_algorithm_or_key(house: House) -> None:
    ann = await house.person("ann")
    claims, key = claims_of(ann.token), house.services.keys.signing()
    raw = key.public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    headers = {"kid": key.kid, "typ": TYPE}
    unsigned = jwt.encode(claims, "", "none", headers=headers)
    confused = jwt.encode(claims, raw, "HS256", headers=headers)
    forged = jwt.encode(claims, Ed25519PrivateKey.generate(), "EdDSA", headers=headers)
    for token in (unsigned, confused, forged, ann.token[:-4] + "AAAA", ann.refresh_token):
        assert await is_refused(house, token)


async def test_a_verified_token_is_refused_once_it_has_expired(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await house.person("ann")
    assert not await is_refused(house, ann.token)
    moment = time.time() + 700
    monkeypatch.setattr("api.auth.time.time", lambda: moment)
    assert await is_refused(house, ann.token)


async def test_unknown_key_ids_do_not_make_us_ask_the_database_each_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await house.person("ann")
    loads = 0
    load = house.services.keys.load

    async def counted() -> None:
        nonlocal loads
        loads += 1
        await load()

    monkeypatch.setattr(house.services.keys, "load", counted)
    for number in range(20):
        assert await is_refused(house, signed(house, claims_of(ann.token), kid=f"unknown-{number}"))
    assert 1 <= loads <= 5  # once for them, and twice a second as always


async def test_processes_that_start_together_agree_on_the_first_key(open_house: OpenHouse) -> None:
    houses = [open_house() for _ in range(3)]
    one, two, three = await asyncio.gather(*(house.__aenter__() for house in houses))
    try:
        assert len({house.services.keys.signing().kid for house in (one, two, three)}) == 1
        ann = await one.person("ann")
        assert not await is_refused(two, ann.token)
    finally:
        await asyncio.gather(*(house.__aexit__(None, None, None) for house in houses))


async def rotate(house: House) -> str:
    """Makes a new key in the database and retires the old one."""
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    kid = thumbprint(private.public_key())
    async with house.services.pool.connection() as connection:
        await connection.execute("UPDATE signing_keys SET retired_at = now()")
        await connection.execute("INSERT INTO signing_keys (kid, private_pem) VALUES (%s, %s)", (kid, pem))
    return kid


async def test_a_rotated_key_verifies_at_once_and_the_old_one_for_a_while(house: House, open_house: OpenHouse) -> None:
    ann = await house.person("ann")
    kid = await rotate(house)
    async with open_house() as other:
        ben = await other.person("ben")
        assert jwt.get_unverified_header(ben.token)["kid"] == kid
        # The first process has never heard of the new key, and still verifies with the old one.
        assert not await is_refused(house, ben.token)
        assert not await is_refused(other, ann.token)


async def test_a_key_retired_long_ago_verifies_nothing(house: House, open_house: OpenHouse) -> None:
    ann = await house.person("ann")
    await rotate(house)
    async with house.services.pool.connection() as connection:
        await connection.execute(
            "UPDATE signing_keys SET retired_at = now() - interval '1 hour' WHERE retired_at < now()"
        )
    async with open_house() as other:
        assert await is_refused(other, ann.token)


async def test_others_can_verify_our_tokens_by_the_published_keys(house: House) -> None:
    ann = await house.person("ann")
    published = await house.call("GET", "//.well-known/jwks.json")
    keys = jwt.PyJWKSet.from_dict(published.body)
    key = keys[jwt.get_unverified_header(ann.token)["kid"]]
    assert jwt.decode(ann.token, key, algorithms=["EdDSA"], audience=AUDIENCE)["sub"] == ann.id
    assert "d" not in published.body["keys"][0]


async def test_remembered_tokens_are_bounded(house: House) -> None:
    tokens = house.services.tokens
    tokens._max_cached = 3
    people: list[Person] = [await house.person() for _ in range(5)]
    for person in people:
        assert not await is_refused(house, person.token)
    assert len(tokens._known) == 3
    assert not await is_refused(house, people[0].token)

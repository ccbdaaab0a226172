"""Access and refresh tokens: the tricks that `tests/api/test_api_tokens.py` does not try."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.auth import MAX_TOKEN, TYPE
from api.route import Access
from api.routes import ROUTES
from tests.api.house import PASSWORD, House, Person
from tests.api.test_api_tokens import claims_of, is_refused


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def assembled(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token put together by hand: no library would sign it."""
    parts = [base64url(json.dumps(part).encode()) for part in (header, claims)]
    return ".".join([*parts, base64url(signature)])


def own_header(house: House, **more: Any) -> dict[str, Any]:
    return {"alg": "EdDSA", "typ": TYPE, "kid": house.services.keys.signing().kid, **more}


async def test_the_public_key_as_a_shared_secret(house: House) -> None:
    """Everybody has the public key: signed with it, in whatever form, a token is worth nothing."""
    ann = await house.person("ann")
    public = house.services.keys.signing().public
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for secret, bits in product((raw, pem, base64url(raw).encode()), (256, 384, 512)):
        unsigned = assembled(own_header(house, alg=f"HS{bits}"), claims_of(ann.token)).rpartition(".")[0]
        digest = hmac.new(secret, unsigned.encode(), getattr(hashlib, f"sha{bits}")).digest()
        assert await is_refused(house, f"{unsigned}.{base64url(digest)}")


async def test_every_other_algorithm(house: House) -> None:
    ann = await house.person("ann")
    claims, kid = claims_of(ann.token), house.services.keys.signing().kid
    others = {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": Ed448PrivateKey.generate(),
    }
    for algorithm, key in others.items():
        assert await is_refused(house, jwt.encode(claims, key, algorithm, headers={"kid": kid, "typ": TYPE}))


async def test_a_token_that_says_it_is_not_signed(house: House) -> None:
    """Without a signature, and with the good one of the same claims under another name."""
    ann = await house.person("ann")
    good = base64.urlsafe_b64decode(ann.token.rpartition(".")[2] + "==")
    names = ("none", "None", "NONE", "nOnE", "", None, "eddsa", "Ed25519")
    for name, signature in product(names, (b"", good)):
        assert await is_refused(house, assembled(own_header(house, alg=name), claims_of(ann.token), signature)), name


async def test_a_key_the_token_brings_along_is_not_looked_at(house: House) -> None:
    """It is well signed by the key in its own header, and refused all the same."""
    ann = await house.person("ann")
    private = Ed25519PrivateKey.generate()
    x = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(x)}
    for more in ({"jwk": jwk}, {"jku": f"{house.url}/keys"}, {"x5u": f"{house.url}/keys"}, {}):
        headers = own_header(house, **more)
        assert await is_refused(house, jwt.encode(claims_of(ann.token), private, "EdDSA", headers=headers))


async def test_a_key_id_is_only_compared(house: House) -> None:
    ann = await house.person("ann")
    for kid in ("../../dev/null", "' OR 1=1 --", "", "\x00", 7, None, ["a"], {"a": 1}, "k" * 1_000):
        assert await is_refused(house, assembled(own_header(house, kid=kid), claims_of(ann.token), b"x" * 64)), kid


async def test_claims_of_another_shape(house: House) -> None:
    """Well signed, and still none of ours."""
    key = house.services.keys.signing().private
    good = claims_of((await house.person("ann")).token)
    for claims in ({}, [], None, 7, "text", good | {"exp": "never"}, good | {"exp": float("inf")}):
        token = jwt.PyJWS().encode(json.dumps(claims).encode(), key, "EdDSA", headers=own_header(house))
        assert await is_refused(house, token), claims


async def test_a_changed_token(house: House) -> None:
    """Another's claims under one's own signature; a longer, a cut, a doubled token."""
    ann, ben = await house.person("ann"), await house.person("ben")
    head, claims, signature = ann.token.split(".")
    for token in (
        f"{head}.{ben.token.split('.')[1]}.{signature}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        f"{ann.token}.{signature}",
        f"{ann.token}, Bearer {ann.token}",
        ann.token + "=",
        ann.token.swapcase(),
        "." * 3,
        "a" * (MAX_TOKEN + 1),
    ):
        assert await is_refused(house, token), token[:40]


async def test_a_token_counts_in_its_header_alone(house: House) -> None:
    """Not in the URL, which is logged; not in a cookie, which goes along by itself; not under another scheme."""
    ann = await house.person("ann")
    places: list[tuple[str, dict[str, str]]] = [
        (f"/orders?access_token={ann.token}", {}),
        ("/orders", {"Cookie": f"access_token={ann.token}; token={ann.token}"}),
        ("/orders", {"Authorization": f"Basic {ann.token}"}),
        ("/orders", {"Authorization": ann.token}),
        ("/orders", {"Authorization": f"Bearer{ann.token}"}),
        ("/orders", {"X-Access-Token": ann.token, "X-User-Id": ann.id, "X-Forwarded-User": ann.id}),
    ]
    for path, headers in places:
        assert (await house.call("GET", path, headers=headers)).status == 401, (path, headers)


async def test_a_token_of_another_house_is_none(house: House) -> None:
    """The same claims, signed by a house with keys of its own."""
    ann = await house.person("ann")
    other = Ed25519PrivateKey.generate()
    assert await is_refused(house, jwt.encode(claims_of(ann.token), other, "EdDSA", headers=own_header(house)))
    elsewhere = own_header(house, kid="another-house")
    assert await is_refused(house, jwt.encode(claims_of(ann.token), other, "EdDSA", headers=elsewhere))


@pytest.mark.parametrize("end", ["sign-out", "password", "erasure", "refresh reuse"])
async def test_what_ends_a_session_ends_every_token_of_it_on_every_route(house: House, end: str) -> None:
    """The access token, although it is good for minutes, and the refresh token, although it was never used."""
    ann = await house.person("ann")
    body = {"email": ann.email, "password": PASSWORD}
    second = (await house.call("POST", "/users/signin", body)).body
    token, refresh_token = second["access_token"], second["refresh_token"]
    assert not await is_refused(house, token)
    await END[end](house, ann, second)
    for route in ROUTES:
        if route.access.needs_token:
            path = "/" + route.path.format(ticket_id=uuid4(), order_id=uuid4())
            assert (await house.call(route.method, path, token=token)).status == 401, path
        elif route.access is Access.OPTIONAL:
            assert (await house.call("GET", f"/{route.path}", token=token)).body == {"currentUser": None}
    assert (await house.call("POST", "/users/refresh", {"refresh_token": refresh_token})).code == "bad_refresh_token"


async def _sign_out(house: House, ann: Person, second: Any) -> None:
    assert (await house.call("POST", "/users/signout", token=second["access_token"])).status == 204


async def _change_password(house: House, ann: Person, second: Any) -> None:
    body = {"password": "another password", "current_password": PASSWORD}
    assert (await house.call("PATCH", "/users/currentuser", body, token=ann.token)).status == 200


async def _erase(house: House, ann: Person, second: Any) -> None:
    assert (await house.call("DELETE", "/users/currentuser", token=ann.token)).status == 204


async def _reuse(house: House, ann: Person, second: Any) -> None:
    stolen = {"refresh_token": second["refresh_token"]}
    assert (await house.call("POST", "/users/refresh", stolen)).status == 200
    assert (await house.call("POST", "/users/refresh", stolen)).status == 401


END = {"sign-out": _sign_out, "password": _change_password, "erasure": _erase, "refresh reuse": _reuse}


def test_keys_are_in_no_file_of_the_tree() -> None:
    root = Path(__file__).parents[2]
    mark = "BEGIN " + "PRIVATE KEY"
    for folder in ("api", "adapters", "cli", "docker", "domain", "projections", "sandbox", "streams"):
        for path in (root / folder).rglob("*"):
            if path.suffix in {".py", ".yaml", ".conf", ".sh", ".json", ".pem"}:
                assert mark not in path.read_text(), path

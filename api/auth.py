"""Who is asking: access tokens (JWT, EdDSA), issued and verified.

Verified strictly (RFC 8725): one algorithm, our own keys by `kid` and no key the token brings along, every claim
there and right. A verified token is remembered until it expires: only its first request costs a signature check.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import psycopg
from aiohttp import hdrs, web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from adapters.token_keys import TokenKeys
from api.problems import CHALLENGE, Refused
from api.sessions import EndedSessions

ISSUER, AUDIENCE, TYPE, ALGORITHM = "stagedoor", "stagedoor-api", "at+jwt", "EdDSA"

LIFETIME = timedelta(minutes=10)
LEEWAY_SECONDS = 5
"""Clocks of one house differ by less."""

MAX_CACHED = 30_000
"""Verified tokens in memory, about a kilobyte each."""

MAX_TOKEN = 2_000
"""Characters; ours have some 450."""

RELOAD_SECONDS = 1.0
"""Unknown key ids make us look for new keys at most this often, whoever sends them."""

KEYS_POLL_SECONDS = 0.5
"""How soon every process signs with a new key, and refuses the tokens of one that was ended (and a query)."""

_CLAIMS = ["iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti", "adm"]
_FOREIGN_KEYS = ("jku", "jwk", "x5u", "x5c", "crit")
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is signed in, by which session, until when (Unix time)."""

    user_id: UUID
    session_id: UUID
    is_admin: bool
    expires_at: float


class BadToken(Exception):
    """It is not an access token of ours that is good now."""


class AccessTokens:
    """Issues and verifies. Used on one event loop."""

    def __init__(self, keys: TokenKeys, ended: EndedSessions, *, max_cached: int = MAX_CACHED) -> None:
        self._keys = keys
        self._ended = ended
        self._max_cached = max_cached
        self._known: OrderedDict[str, Principal] = OrderedDict()
        self._kid_of_header: dict[str, str] = {}
        """Encoded headers of good tokens, one a key: to show a header, PyJWT reads the whole token."""
        self._loaded_at = 0.0

    def issue(self, user_id: UUID, session_id: UUID, *, is_admin: bool) -> str:
        """An access token for `LIFETIME`."""
        key = self._keys.signing()
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": now,
            "nbf": now,
            "exp": now + int(LIFETIME.total_seconds()),
            "jti": uuid4().hex,
            "adm": is_admin,
        }
        return jwt.encode(claims, key.private, ALGORITHM, headers={"kid": key.kid, "typ": TYPE})

    async def principal(self, token: str) -> Principal:
        """Whose token it is. Raises `BadToken`."""
        principal = self._known.pop(token, None)
        if principal is None:
            principal = await self._verify(token)
            while len(self._known) >= self._max_cached:
                self._known.popitem(last=False)
        elif principal.expires_at < time.time():
            raise BadToken("it has expired")
        self._known[token] = principal  # as the most recently used
        if principal.session_id in self._ended:
            raise BadToken("its session has ended")
        return principal

    async def _verify(self, token: str) -> Principal:
        if len(token) > MAX_TOKEN:
            raise BadToken("it is too long")
        header = token.partition(".")[0]
        try:
            kid = self._kid_of_header.get(header) or _kid_of(token)
            key = await self._key_of(kid)
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY_SECONDS,
                options={"require": _CLAIMS, "strict_aud": True},
            )
            principal = Principal(
                UUID(claims["sub"]), UUID(claims["sid"]), claims["adm"] is True, claims["exp"] + LEEWAY_SECONDS
            )
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError) as error:
            raise BadToken("it is not one of ours") from error
        self._kid_of_header[header] = kid
        return principal

    async def _key_of(self, kid: str) -> Ed25519PublicKey:
        key = self._keys.verifying(kid)
        if key is None and time.monotonic() - self._loaded_at > RELOAD_SECONDS:
            self._loaded_at = time.monotonic()
            await self.reload_keys()
            key = self._keys.verifying(kid)
        if key is None:
            raise BadToken("its key is not known")
        return key

    async def reload_keys(self) -> None:
        """Reads the keys again; with the database away the old ones stay.

        When one is gone, every token is verified anew: what was remembered may rest on it.
        """
        before = self._keys.kids()
        try:
            await self._keys.load()
        except psycopg.OperationalError:
            return
        if before - self._keys.kids():
            self._known.clear()

    async def run(self) -> None:
        """Reads the keys from time to time, until cancelled."""
        while True:
            await asyncio.sleep(KEYS_POLL_SECONDS)
            await self.reload_keys()


def _kid_of(token: str) -> str:
    header: dict[str, Any] = jwt.get_unverified_header(token)
    if header.get("typ") != TYPE or header.get("alg") != ALGORITHM or any(name in header for name in _FOREIGN_KEYS):
        raise BadToken("its header is not one of ours")
    return str(header.get("kid"))


def bearer_token(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer …`; None without one."""
    said = request.headers.get(hdrs.AUTHORIZATION)
    if said is None or said[: len(_BEARER)].lower() != _BEARER:
        return None
    return said[len(_BEARER) :].strip()


def unauthenticated(detail: str, *, token_given: bool = False) -> Refused:
    """401; `WWW-Authenticate` as RFC 6750 says: the error is named only to who brought a token."""
    challenge = CHALLENGE + (', error="invalid_token"' if token_given else "")
    return Refused("unauthenticated", detail, headers={hdrs.WWW_AUTHENTICATE: challenge})

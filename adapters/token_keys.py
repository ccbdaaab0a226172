"""The key pairs that sign access tokens (Ed25519), kept in PostgreSQL so that every process has the same ones; the
private keys are sealed with the house key."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.house_key import HouseKey

PEM_BEGIN = "-----BEGIN "

OVERLAP = timedelta(minutes=15)
"""How long a retired key still verifies: longer than any token it signed lives, with room for clocks that differ."""

_LOCK = "LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE"
_SIGNING = "SELECT kid FROM signing_keys WHERE retired_at IS NULL AND ended_at IS NULL"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key pair; `kid` is the public key's thumbprint (RFC 7638)."""

    kid: str
    private: Ed25519PrivateKey
    retired_at: datetime | None

    @property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()


class KeyState(Enum):
    """What a key is good for."""

    SIGNS = "signs and verifies"
    VERIFIES = "verifies what it signed"
    OVER = "over: the last token it signed has expired"
    ENDED = "ended: it was known to others"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as `stagedoor keys list` shows it: nothing secret."""

    kid: str
    created_at: datetime
    retired_at: datetime | None
    ended_at: datetime | None

    @property
    def state(self) -> KeyState:
        if self.ended_at is not None:
            return KeyState.ENDED
        if self.retired_at is None:
            return KeyState.SIGNS
        return KeyState.OVER if _is_over(self.retired_at) else KeyState.VERIFIES


class TokenKeys:
    """The keys of the house, as last read. `load` before anything else."""

    def __init__(self, pool: AsyncConnectionPool, house_key: HouseKey) -> None:
        self._pool = pool
        self._house_key = house_key
        self._keys: dict[str, SigningKey] = {}
        self._newest: SigningKey | None = None

    async def load(self) -> None:
        """Reads the keys, and makes the first pair if there is none.

        Raises:
            psycopg.OperationalError: the database does not answer; what was read before stays good.
        """
        keys = await self._read()
        if not any(key.retired_at is None for key in keys):
            await self._make()
            keys = await self._read()
        self._keys = {key.kid: key for key in keys}
        self._newest = next(key for key in keys if key.retired_at is None)

    def signing(self) -> SigningKey:
        """The pair that signs now."""
        assert self._newest is not None, "load() comes first"
        return self._newest

    def verifying(self, kid: str) -> Ed25519PublicKey | None:
        """The public key of this id, unless it is unknown or was retired too long ago."""
        key = self._keys.get(kid)
        return None if key is None or _is_over(key.retired_at) else key.public

    def kids(self) -> frozenset[str]:
        """The ids of the keys that were read."""
        return frozenset(self._keys)

    def jwks(self) -> dict[str, Any]:
        """The public keys that verify now, as a JWK Set (RFC 7517, RFC 8037)."""
        return {
            "keys": [
                {**_jwk(key.public), "kid": key.kid, "use": "sig", "alg": "EdDSA"}
                for key in self._keys.values()
                if not _is_over(key.retired_at)
            ]
        }

    async def rows(self) -> list[KeyRow]:
        """The keys there were, the newest first, a hundred at most."""
        async with self._pool.connection() as connection:
            rows = await (
                await connection.execute(
                    "SELECT kid, created_at, retired_at, ended_at FROM signing_keys"
                    " ORDER BY created_at DESC, kid LIMIT 100"
                )
            ).fetchall()
        return [KeyRow(*row) for row in rows]

    async def rotate(self) -> str:
        """Makes a new pair and retires the one that signs; both verify for `OVERLAP`. Returns the new one's id."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(_LOCK)
            await connection.execute(
                "UPDATE signing_keys SET retired_at = clock_timestamp() WHERE retired_at IS NULL AND ended_at IS NULL"
            )
            return await self._add_pair(connection)

    async def end(self, kid: str) -> bool:
        """Ends a key that others may know: no token of it is good any more, and its private half is wiped.

        Should none be left that signs, a new pair is made.

        Returns:
            whether there was such a key.
        """
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(_LOCK)
            ended = await connection.execute(
                "UPDATE signing_keys SET private_pem = '', ended_at = COALESCE(ended_at, clock_timestamp())"
                " WHERE kid = %s",
                (kid,),
            )
            if ended.rowcount and await (await connection.execute(_SIGNING)).fetchone() is None:
                await self._add_pair(connection)
            return ended.rowcount == 1

    async def _read(self) -> list[SigningKey]:
        """The keys that are good for something, the newest first."""
        async with self._pool.connection() as connection:
            rows = await (
                await connection.execute(
                    "SELECT kid, private_pem, retired_at FROM signing_keys WHERE ended_at IS NULL"
                    " AND (retired_at IS NULL OR retired_at > now() - interval '1 hour')"
                    " ORDER BY created_at DESC, kid LIMIT 100"
                )
            ).fetchall()
        return [
            SigningKey(kid, _private(_opened_pem(self._house_key, kid, stored)), retired_at)
            for kid, stored, retired_at in rows
        ]

    async def _make(self) -> None:
        """Makes the first pair; of processes that start together one does it and the others find it."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(_LOCK)
            if await (await connection.execute(_SIGNING)).fetchone() is None:
                await self._add_pair(connection)

    async def _add_pair(self, connection: AsyncConnection[Any]) -> str:
        """Stores a new pair; its id."""
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        kid = thumbprint(private.public_key())
        await connection.execute(
            "INSERT INTO signing_keys (kid, private_pem, created_at) VALUES (%s, %s, clock_timestamp())",
            (kid, sealed_pem(self._house_key, kid, pem)),
        )
        return kid


def thumbprint(public: Ed25519PublicKey) -> str:
    """The key's id: SHA-256 over its canonical JWK (RFC 7638)."""
    canonical = json.dumps(_jwk(public), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _jwk(public: Ed25519PublicKey) -> dict[str, str]:
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}


def sealed_pem(house_key: HouseKey, kid: str, pem: str) -> str:
    """A private key as it is stored: sealed with the house key, in base64."""
    return base64.b64encode(house_key.seal(pem.encode(), _purpose(kid))).decode()


def _opened_pem(house_key: HouseKey, kid: str, stored: str) -> str:
    """Raises `adapters.house_key.Unreadable`."""
    if stored.startswith(PEM_BEGIN):  # until `stagedoor migrate` has sealed it
        return stored
    return house_key.open(base64.b64decode(stored), _purpose(kid)).decode()


def _purpose(kid: str) -> bytes:
    return f"signing key {kid}".encode()


def _private(pem: str) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, Ed25519PrivateKey), "only Ed25519 keys are ever stored"
    return key


def _is_over(retired_at: datetime | None) -> bool:
    return retired_at is not None and retired_at + OVERLAP < datetime.now(UTC)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

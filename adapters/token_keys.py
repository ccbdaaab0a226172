"""The key pairs that sign access tokens (Ed25519), kept in PostgreSQL so that every process has the same ones."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from psycopg_pool import AsyncConnectionPool

OVERLAP = timedelta(minutes=15)
"""How long a retired key still verifies: longer than any token it signed lives, with room for clocks that differ."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key pair; `kid` is the public key's thumbprint (RFC 7638)."""

    kid: str
    private: Ed25519PrivateKey
    retired_at: datetime | None

    @property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()


class TokenKeys:
    """The keys of the house, as last read. `load` before anything else."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
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
        return None if key is None or _is_over(key) else key.public

    def jwks(self) -> dict[str, Any]:
        """The public keys that verify now, as a JWK Set (RFC 7517, RFC 8037)."""
        return {
            "keys": [
                {**_jwk(key.public), "kid": key.kid, "use": "sig", "alg": "EdDSA"}
                for key in self._keys.values()
                if not _is_over(key)
            ]
        }

    async def _read(self) -> list[SigningKey]:
        """All keys, the newest first."""
        async with self._pool.connection() as connection:
            rows = await (
                await connection.execute(
                    "SELECT kid, private_pem, retired_at FROM signing_keys ORDER BY created_at DESC, kid LIMIT 100"
                )
            ).fetchall()
        return [SigningKey(kid, _private(pem), retired_at) for kid, pem, retired_at in rows]

    async def _make(self) -> None:
        """Makes the first pair; of processes that start together one does it and the others find it."""
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")
            await connection.execute(
                "INSERT INTO signing_keys (kid, private_pem)"
                " SELECT %s, %s WHERE NOT EXISTS (SELECT FROM signing_keys WHERE retired_at IS NULL)",
                (thumbprint(private.public_key()), pem),
            )


def thumbprint(public: Ed25519PublicKey) -> str:
    """The key's id: SHA-256 over its canonical JWK (RFC 7638)."""
    canonical = json.dumps(_jwk(public), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _jwk(public: Ed25519PublicKey) -> dict[str, str]:
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}


def _private(pem: str) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, Ed25519PrivateKey), "only Ed25519 keys are ever stored"
    return key


def _is_over(key: SigningKey) -> bool:
    return key.retired_at is not None and key.retired_at + OVERLAP < datetime.now(UTC)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

"""The stored answer of a sign-up holds tokens, so it is sealed: who only has the table has nothing.

The key is made of the password by Argon2id, the same slow way as its hash, with a salt of address and idempotency key.
A fast hash over the body in its place would hand a thief of the table a quick way to try passwords, past the slow one.
Whoever repeats the request brings the password again and so opens the answer; the fingerprint is keyed the same way.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from api import idempotency
from api.answers import Answer
from api.calls import Call
from api.problems import refusal
from domain.work import Once

SALT_BYTES, NONCE_BYTES = 16, 12


async def sealed_once(call: Call, key: str, email: str, password: str) -> Once[Answer]:
    """The promise that goes with a sign-up. Nobody is signed in yet: the key's scope is the address.

    Raises:
        Busy: too many passwords are being hashed.
    """
    salt = hashlib.sha256(f"{email}\n{key}".encode()).digest()[:SALT_BYTES]
    secret = await call.services.passwords.derive(password, salt)
    fingerprint = hmac.digest(secret, b"fingerprint" + idempotency.fingerprint(call.request, call.raw), "sha256")
    cipher = AESGCM(hmac.digest(secret, b"seal", "sha256"))

    def seal(answer: Answer) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, idempotency.encode(answer), None)

    def unseal(sealed: bytes) -> Answer:
        return idempotency.decode(cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None))

    return Once(
        scope=call.services.house_key.address_scope(email),
        key=key,
        fingerprint=fingerprint,
        encode=seal,
        decode=unseal,
        refusal=lambda error: refusal(error, call.trace),
    )

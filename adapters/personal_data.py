"""What is personal, sealed with a key for each person: destroying the key is erasing the person.

Each person's key is one row of `personal_keys`, sealed in its turn under the house key. Whoever keeps something
personal in a table of their own seals it with the same key, under a field name of their own:

    key = await find_person_key(connection, house_key, user_id)      # None: erased
    sealed = key.seal("letter.address", address)                     # a bytea column
    address = key.open("letter.address", sealed)

When the account is erased the row goes, and nothing that was sealed with it can ever be read again, wherever a copy is.
"""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import AsyncConnection

from adapters.house_key import KEY_BYTES, HouseKey, opened, sealed

EMAIL, NAME = "email", "name"
"""The fields of `accounts` that are sealed."""

_KEY = "SELECT sealed_key FROM personal_keys WHERE user_id = %s"


class PersonKey:
    """Seals and opens what is one person's (AES-256-GCM; user and field are authenticated with it)."""

    def __init__(self, user_id: UUID, secret: bytes) -> None:
        self._user_id = user_id
        self._cipher = AESGCM(secret)

    def seal(self, field: str, text: str) -> bytes:
        """28 bytes more than the text has in UTF-8."""
        return sealed(self._cipher, text.encode(), self._purpose(field))

    def open(self, field: str, sealed_text: bytes) -> str:
        """Raises `adapters.house_key.Unreadable`: it is another person's or field's, or was changed."""
        return opened(self._cipher, sealed_text, self._purpose(field)).decode()

    def _purpose(self, field: str) -> bytes:
        return self._user_id.bytes + field.encode()


def make_person_key(house_key: HouseKey, user_id: UUID) -> tuple[PersonKey, bytes]:
    """A new person's key, and the same sealed, as it is stored."""
    secret = secrets.token_bytes(KEY_BYTES)
    return PersonKey(user_id, secret), house_key.seal(secret, _purpose_of_key(user_id))


def open_person_key(house_key: HouseKey, user_id: UUID, sealed_key: bytes) -> PersonKey:
    """The key as it was stored. Raises `adapters.house_key.Unreadable`."""
    return PersonKey(user_id, house_key.open(sealed_key, _purpose_of_key(user_id)))


async def find_person_key(connection: AsyncConnection[Any], house_key: HouseKey, user_id: UUID) -> PersonKey | None:
    """A person's key; None: there is no such account (any more)."""
    row = await (await connection.execute(_KEY, (user_id,))).fetchone()
    return None if row is None else open_person_key(house_key, user_id, row[0])


def _purpose_of_key(user_id: UUID) -> bytes:
    return b"person " + user_id.bytes

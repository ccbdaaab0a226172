"""The house key: the one secret that is not in the database, and under which everything secret in it is sealed.

It is 32 random bytes in a file, as 64 hexadecimal digits: that of `STAGEDOOR_MASTER_KEY_FILE`, else one in the data
folder that is made the first time. The database knows a check value of the key it was begun with, so that another one
is noticed before anything is read or written with it (docs/decisions/0015).
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from adapters.database import connection_options
from adapters.settings import Settings, SettingsError, required

KEY_BYTES, NONCE_BYTES = 32, 12
MAX_FILE_BYTES = 1_000
"""The key has 64 digits; whatever is larger is another file."""

VARIABLE = "STAGEDOOR_MASTER_KEY_FILE"

_CHECK = "SELECT check_value FROM house_key"
_BEGIN_WITH = "INSERT INTO house_key (check_value) VALUES (%s) ON CONFLICT DO NOTHING"
HAS_PLAIN_ACCOUNTS = "SELECT to_regprocedure('drop_plain_accounts()') IS NOT NULL"
"""The procedure is there until all accounts are sealed, see `adapters/plain_accounts.py`."""


class Unreadable(Exception):
    """Sealed bytes that were changed, or were sealed with another key or for another purpose."""


class HouseKey:
    """What the secret is used for, each with a key of its own (HKDF-SHA-256)."""

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == KEY_BYTES
        self._cipher = AESGCM(_derived(secret, b"sealing"))
        self._addresses = _derived(secret, b"addresses")
        self.tickets = _derived(secret, b"tickets")
        """What tickets are signed with (`adapters/ticket_codes.py`), 32 bytes."""
        self.short_codes = _derived(secret, b"short ticket codes")
        """What proves the codes that are typed (`adapters/short_codes.py`), 32 bytes."""
        self.check = _derived(secret, b"check")
        """Tells this key from others and nothing about it, 32 bytes."""

    def seal(self, plain: bytes, purpose: bytes) -> bytes:
        """AES-256-GCM: a random nonce of 12 bytes, then the cipher text; it opens for this purpose alone."""
        return sealed(self._cipher, plain, purpose)

    def open(self, sealed_bytes: bytes, purpose: bytes) -> bytes:
        """Raises `Unreadable`."""
        return opened(self._cipher, sealed_bytes, purpose)

    def address_hash(self, email: str) -> bytes:
        """What a normalised address is found by: HMAC-SHA-256, so that nobody without the key can try addresses."""
        return hmac.digest(self._addresses, email.encode(), "sha256")

    def address_scope(self, email: str) -> UUID:
        """Whose an idempotency key is that came with a sign-up: the beginning of the address's hash."""
        return UUID(bytes=self.address_hash(email)[:16])


def sealed(cipher: AESGCM, plain: bytes, purpose: bytes) -> bytes:
    """Nonce and cipher text."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, purpose)


def opened(cipher: AESGCM, sealed_bytes: bytes, purpose: bytes) -> bytes:
    """What was sealed. Raises `Unreadable`."""
    try:
        return cipher.decrypt(sealed_bytes[:NONCE_BYTES], sealed_bytes[NONCE_BYTES:], purpose)
    except (InvalidTag, ValueError) as error:
        raise Unreadable("it was not sealed with this key for this purpose") from error


def path_of(settings: Settings) -> Path:
    """Where the key is."""
    return settings.master_key_file or settings.data_dir / "secrets" / "house-key"


def open_house_key(settings: Settings, *, for_sealing: bool = False) -> HouseKey:
    """The key of the database; a marketplace that has none yet gets one. Processes that start together agree.

    Args:
        for_sealing: the caller is about to seal accounts that are in plain text.

    Raises:
        SettingsError: the key is missing, is another one than the database's, or cannot be read or made; or there are
            accounts in plain text, and it is not `for_sealing`.
        psycopg.errors.UndefinedTable: the database has no schema, or an older one.
        psycopg.OperationalError: the database does not answer.
    """
    database_url = required(settings.database_url, "DATABASE_URL")
    with psycopg.connect(database_url, autocommit=True, **connection_options()) as connection:
        if not for_sealing and _one(connection, HAS_PLAIN_ACCOUNTS):
            raise SettingsError("accounts are not sealed yet: run `stagedoor migrate`")
        # In this order: whoever wrote the check value down had made the file before.
        is_new = _one(connection, _CHECK) is None
        house_key = _read(path_of(settings))
        if is_new:
            house_key = house_key or _made(settings)
            connection.execute(_BEGIN_WITH, (house_key.check,))
        return _checked(connection, house_key, settings)


def find_house_key(connection: psycopg.Connection[Any], settings: Settings) -> HouseKey:
    """The key of a database in which something is sealed; nothing is made or written.

    Raises:
        SettingsError: it is missing, is another one than the database's, or cannot be read.
    """
    return _checked(connection, _read(path_of(settings)), settings)


def is_foreign(house_key: HouseKey, check_value: bytes | None) -> bool:
    """Whether a database, by its check value, was begun with another key."""
    return check_value is not None and not hmac.compare_digest(check_value, house_key.check)


def _checked(connection: psycopg.Connection[Any], house_key: HouseKey | None, settings: Settings) -> HouseKey:
    path = path_of(settings)
    if house_key is None:
        raise SettingsError(
            f"the house key {path} is missing, and what is personal in the database is sealed with it: put it back, or"
            f" say where it is in {VARIABLE}"
        )
    if is_foreign(house_key, _one(connection, _CHECK)):
        raise SettingsError(f"the house key {path} is not the one the database was sealed with: put that one back")
    return house_key


def _read(path: Path) -> HouseKey | None:
    """The key of a file; None without the file. Raises `SettingsError`."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"the house key {path} cannot be read: {error.strerror}") from error
    if re.fullmatch(rb"[0-9a-fA-F]{%d}" % (2 * KEY_BYTES), text) is None:
        raise SettingsError(f"the house key {path} is not one: expected {2 * KEY_BYTES} hexadecimal digits")
    return HouseKey(bytes.fromhex(text.decode()))


def _made(settings: Settings) -> HouseKey:
    """Makes the key of a new marketplace, or finds the one that another process has just made."""
    path = path_of(settings)
    if settings.master_key_file is not None:
        raise SettingsError(f"{VARIABLE}: there is no {path}; make it with `(umask 077; openssl rand -hex 32 > FILE)`")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(path, secrets.token_hex(KEY_BYTES) + "\n")
    except OSError as error:
        raise SettingsError(
            f"the house key {path} cannot be made: {error.strerror}; make one elsewhere and name it in {VARIABLE}"
        ) from error
    house_key = _read(path)
    assert house_key is not None, "it was written just now"
    return house_key


def _write_new(path: Path, text: str) -> None:
    """Writes a file for its owner alone, whole and on the disk before it has its name; one that is there stays."""
    fresh = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(fresh, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # losing the name is losing the key, and every account with it
        finally:
            os.close(folder)
    finally:
        fresh.unlink(missing_ok=True)


def _derived(secret: bytes, use: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"stagedoor house key: " + use).derive(secret)


def _one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return None if row is None else row[0]

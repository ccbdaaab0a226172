"""Passwords by Argon2id, on threads of their own and never more at once than the machine can bear."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import hash_secret_raw

from domain.errors import Busy

MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
"""OWASP's first choice for Argon2id (Password Storage Cheat Sheet): 19 MiB, t=2, p=1."""

THREADS = 2
"""One hash is some 20 ms of one core; more threads would take the cores from orders."""

MAX_WAITING = 200
"""Three to four seconds' worth; beyond, people are told to come back rather than left waiting."""

DERIVED_BYTES = 32

T = TypeVar("T")


class Passwords:
    """Hashes and checks passwords. Used on one event loop. Every method but `close` may raise `Busy`."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobodys = self._hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        """The encoded hash, with parameters and a random salt."""
        return await self._run(lambda: self._hasher.hash(_bytes(password)))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether it is the password; for nobody (None) it takes the same time to say no."""

        def check() -> bool:
            try:
                return self._hasher.verify(encoded or self._nobodys, _bytes(password)) and encoded is not None
            except (VerificationError, InvalidHashError):
                return False

        return await self._run(check)

    async def derive(self, password: str, salt: bytes) -> bytes:
        """A key of 32 bytes that is as hard to guess as the password's hash; the same for the same salt (16 bytes)."""
        return await self._run(
            lambda: hash_secret_raw(
                _bytes(password), salt, PASSES, MEMORY_KIB, LANES, hash_len=DERIVED_BYTES, type=Type.ID
            )
        )

    def close(self) -> None:
        """Ends the threads once what runs is done."""
        self._executor.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Busy("too many passwords are being checked")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._waiting -= 1


def _bytes(password: str) -> bytes:
    """One form for what different keyboards send (RFC 8265, section 4.2: OpaqueString): spaces are U+0020, then NFC.

    Case and width are the person's own choice. What no password may contain is refused at the edge (`api/text.py`).
    """
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in password)
    return unicodedata.normalize("NFC", spaced).encode()

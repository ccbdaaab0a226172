"""Accounts and sessions as rows: what signing in needs. Whoever changes an account does it by a command
(`domain/marketplace.py`); a session is nobody's history and is written here.

Every method may raise `psycopg.OperationalError` (`psycopg_pool.PoolTimeout` is one).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

from adapters.house_key import HouseKey
from adapters.personal_data import EMAIL, NAME, open_person_key
from domain.records import Account, Session

_ACCOUNT = (
    "SELECT user_id, sealed_key, email, name, password_hash, email_verified_at IS NOT NULL"
    " FROM accounts JOIN personal_keys USING (user_id) WHERE "
)
_VERIFIED = "SELECT user_id FROM accounts WHERE user_id = ANY(%s) AND email_verified_at IS NOT NULL"

# The row lock makes this and a change of the password take turns: no session is ever begun with a password that is
# not the account's any more.
_BEGIN = (
    "INSERT INTO sessions (session_id, user_id, refresh_hash, expires_at)"
    " SELECT %s, user_id, %s, %s"
    " FROM (SELECT user_id FROM accounts WHERE user_id = %s AND password_hash = %s FOR SHARE) AS account"
)
_ROTATE = (
    "UPDATE sessions SET refresh_hash = %s"
    " WHERE session_id = %s AND refresh_hash = %s AND ended_at IS NULL AND expires_at > now() RETURNING user_id"
)
_END = "UPDATE sessions SET ended_at = clock_timestamp() WHERE ended_at IS NULL AND "
_ENDED = "SELECT session_id, ended_at FROM sessions WHERE ended_at > %s ORDER BY ended_at LIMIT %s"

_SESSIONS = (
    "SELECT session_id, created_at, expires_at, ended_at FROM sessions WHERE user_id = %(user)s"
    " AND (%(at)s::timestamptz IS NULL OR (created_at, session_id) < (%(at)s, %(session)s::uuid))"
    " ORDER BY created_at DESC, session_id DESC LIMIT %(limit)s"
)


class Accounts:
    """Queries on `accounts` and `sessions`."""

    def __init__(self, pool: AsyncConnectionPool, house_key: HouseKey) -> None:
        self._pool = pool
        self._house_key = house_key

    async def by_email(self, email: str) -> Account | None:
        """The account of a normalised address."""
        return await self._account("email_hash = %s", self._house_key.address_hash(email))

    async def by_id(self, user_id: UUID) -> Account | None:
        """The account of a user; None when it was erased."""
        return await self._account("user_id = %s", user_id)

    async def verified(self, user_ids: Sequence[UUID]) -> dict[UUID, bool]:
        """Those of the users whose address is verified; the others are left out."""
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(_VERIFIED, (list(user_ids),))).fetchall()
        return dict.fromkeys((user_id for (user_id,) in rows), True)

    async def begin_session(self, session: Session, password_hash: str) -> bool:
        """Stores a sign-in; False when the account's password is no longer the one that was checked."""
        return bool(
            await self._execute(
                _BEGIN, session.session_id, session.refresh_hash, session.expires_at, session.user_id, password_hash
            )
        )

    async def rotate(self, session_id: UUID, old_hash: bytes, new_hash: bytes) -> UUID | None:
        """Exchanges the newest refresh token for the next, at once or not at all; returns whose session it is.

        None: the token was not the newest one, or the session has ended. A token that was used before is in
        somebody's hands who should not have it, so the session ends.
        """
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_ROTATE, (new_hash, session_id, old_hash))).fetchone()
            if row is None:
                await connection.execute(f"{_END} session_id = %s", (session_id,))
                return None
        user_id: UUID = row[0]
        return user_id

    async def end_session(self, session_id: UUID) -> None:
        """Signs out; twice is once."""
        await self._execute(f"{_END} session_id = %s", session_id)

    async def end_sessions(self, user_id: UUID) -> None:
        """Signs the user out everywhere."""
        await self._execute(f"{_END} user_id = %s", user_id)

    async def sessions(
        self, user_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> list[tuple[UUID, datetime, datetime, datetime | None]]:
        """A user's sessions (id, began, expires, ended), the newest first, from behind a place (`before`)."""
        at, session_id = before or (None, None)
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                _SESSIONS, {"user": user_id, "at": at, "session": session_id, "limit": limit}
            )
            return await cursor.fetchall()

    async def ended_since(self, moment: datetime, limit: int) -> list[tuple[UUID, datetime]]:
        """Sessions that ended after a moment, and when, in that order."""
        async with self._pool.connection() as connection:
            return await (await connection.execute(_ENDED, (moment, limit))).fetchall()

    async def _account(self, condition: str, value: Any) -> Account | None:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_ACCOUNT.encode() + condition.encode(), (value,))).fetchone()
        if row is None:
            return None
        found_id, sealed_key, email, name, password_hash, email_verified = row
        key = open_person_key(self._house_key, found_id, sealed_key)
        return Account(found_id, key.open(EMAIL, email), key.open(NAME, name), password_hash, email_verified)

    async def _execute(self, query: str, *parameters: Any) -> int:
        async with self._pool.connection() as connection:
            return (await connection.execute(query.encode(), parameters)).rowcount

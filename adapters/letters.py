"""Letters that wait to be sent, and what the links in them are worth.

A letter waits as a line that says whom it is for and what it is about. Its token is made when it is sent: only then is
there one, and only its SHA-256 is stored, so that who reads this table or a backup of it can follow no link.

Every method may raise `psycopg.OperationalError` (`psycopg_pool.PoolTimeout` is one).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

from adapters.house_key import HouseKey
from domain.records import LetterKind, LinkPurpose

RECIPIENT = b"letter recipient"
"""What an address is sealed as. By the house key: it may be of nobody here, or no longer be its account's."""

TOKEN_BYTES = 32

LINK_LIFETIME: dict[LinkPurpose, timedelta] = {
    "verify_email": timedelta(hours=24),
    "password_reset": timedelta(hours=1),
}
"""From sending. Who asks for a new password sits and waits for it; an address is verified when one reads one's mail."""

LINKS: dict[LetterKind, LinkPurpose] = {"verify_email": "verify_email", "password_reset": "password_reset"}
"""The kinds of letters that bring a link."""

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 120.0, 6 * 3600.0
"""Each pause is twice the one before. The first is longer than a try may take, so that a letter is with one process at
a time; one whose process was killed comes up again after it."""

MAX_TRIES = 12
"""About a day: a mail server that is away for a night loses nothing, and nobody wants older links."""

_CLAIM = (
    "WITH due AS MATERIALIZED (SELECT letter_id FROM letters WHERE due_at <= now() ORDER BY due_at LIMIT %s"
    " FOR UPDATE SKIP LOCKED)"
    " UPDATE letters SET tries = tries + 1, due_at = now() + make_interval(secs => LEAST(%s * 2.0 ^ tries, %s))"
    " FROM due WHERE letters.letter_id = due.letter_id"
    " RETURNING letters.letter_id, kind, user_id, recipient, tries"
)
# The row lock makes this and a change of the account take turns. Either the change comes later and cancels the link, or
# it is done and whoever reads the account next reads the new address: no link ever goes to a former one.
_NEW_LINK = (
    "INSERT INTO links (token_hash, user_id, purpose, expires_at)"
    " SELECT %s, user_id, %s, clock_timestamp() + %s"
    " FROM (SELECT user_id FROM accounts WHERE user_id = %s FOR SHARE) AS account"
    " ON CONFLICT (user_id, purpose)"
    " DO UPDATE SET token_hash = EXCLUDED.token_hash, expires_at = EXCLUDED.expires_at"
)


@dataclass(frozen=True, slots=True)
class DueLetter:
    """A letter this process has taken on. `user_id` None: for whoever has the address; `tries` counts this one."""

    letter_id: UUID
    kind: LetterKind
    user_id: UUID | None
    recipient: str | None
    tries: int


class Letters:
    """Queries on `letters` and `links`."""

    def __init__(self, pool: AsyncConnectionPool, house_key: HouseKey) -> None:
        self._pool = pool
        self._house_key = house_key

    async def ask(self, kind: LetterKind, *, user_id: UUID | None = None, recipient: str | None = None) -> None:
        """Takes a letter down; it is sent soon."""
        sealed = None if recipient is None else self._house_key.seal(recipient.encode(), RECIPIENT)
        await self._execute("INSERT INTO letters (kind, user_id, recipient) VALUES (%s, %s, %s)", kind, user_id, sealed)

    async def claim(self, most: int) -> list[DueLetter]:
        """Takes on letters that are due; they are this process's until their next try is due."""
        async with self._pool.connection() as connection:
            rows = await (
                await connection.execute(_CLAIM, (most, FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS))
            ).fetchall()
        return [
            DueLetter(letter_id, kind, user_id, self._opened(recipient), tries)
            for letter_id, kind, user_id, recipient, tries in rows
        ]

    async def done(self, letter: DueLetter) -> None:
        """It was sent, or is to be sent no more."""
        await self._execute("DELETE FROM letters WHERE letter_id = %s", letter.letter_id)

    async def failed(self, letter: DueLetter, reason: str) -> None:
        """It was not sent, for this reason; it stays for its next try."""
        await self._execute("UPDATE letters SET last_error = %s WHERE letter_id = %s", reason, letter.letter_id)

    async def new_link(self, user_id: UUID, purpose: LinkPurpose) -> str:
        """The token of a new link, which takes the place of the user's former one.

        Read the account's address afterwards, not before. Of an erased account it is the token of nothing.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await self._execute(_NEW_LINK, hash_of(token), purpose, LINK_LIFETIME[purpose], user_id)
        return token

    async def link_owner(self, token: str, purpose: LinkPurpose) -> UUID | None:
        """Whose link it is; None when it is good no more."""
        query = "SELECT user_id FROM links WHERE token_hash = %s AND purpose = %s AND expires_at > clock_timestamp()"
        async with self._pool.connection() as connection:
            row = await (await connection.execute(query, (hash_of(token), purpose))).fetchone()
        return None if row is None else row[0]

    def _opened(self, recipient: bytes | None) -> str | None:
        return None if recipient is None else self._house_key.open(recipient, RECIPIENT).decode()

    async def _execute(self, query: str, *parameters: object) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(query.encode(), parameters)


def hash_of(token: str) -> bytes:
    """A fast hash will do: the token is 256 random bits, there is nothing to guess."""
    return hashlib.sha256(token.encode()).digest()

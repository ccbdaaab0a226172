"""Deletes what is kept for a stated time only: answers under idempotency keys, sessions that ended, tries long past,
links that expired."""

from __future__ import annotations

from psycopg_pool import AsyncConnectionPool

INTERVAL_SECONDS = 60.0

ROWS = 2_000
"""Deleted in one statement: some milliseconds, so that nobody waits for its locks."""

MAX_STATEMENTS = 50
"""In one tick: a hundred thousand rows a minute is more than the marketplace can make."""

_ANSWERS = (
    "DELETE FROM outcomes WHERE ctid = ANY (ARRAY(SELECT ctid FROM outcomes"
    " WHERE created_at < now() - interval '24 hours' LIMIT %s FOR UPDATE SKIP LOCKED))"
)
"""A day, in which a client may repeat a request."""

_ENDED_SESSIONS = (
    "DELETE FROM sessions WHERE ctid = ANY (ARRAY(SELECT ctid FROM sessions"
    " WHERE ended_at < now() - interval '24 hours' LIMIT %s FOR UPDATE SKIP LOCKED))"
)
"""A refresh token of a session that is not there is refused like one of a session that ended."""

_EXPIRED_SESSIONS = (
    "DELETE FROM sessions WHERE ctid = ANY (ARRAY(SELECT ctid FROM sessions"
    " WHERE expires_at < now() - interval '24 hours' LIMIT %s FOR UPDATE SKIP LOCKED))"
)

_TRIES = (
    "DELETE FROM reaction_attempts WHERE ctid = ANY (ARRAY(SELECT ctid FROM reaction_attempts"
    " WHERE next_try_at < now() - interval '24 hours' LIMIT %s FOR UPDATE SKIP LOCKED))"
)
"""Of orders that another worker saw to: a try is made within seconds of its time."""

_EXPIRED_LINKS = (
    "DELETE FROM links WHERE ctid = ANY (ARRAY(SELECT ctid FROM links"
    " WHERE expires_at < now() LIMIT %s FOR UPDATE SKIP LOCKED))"
)
"""At once: one that has expired is refused like one that is not there."""


class Pruning:
    """The timer that deletes what is past its time."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def tick(self) -> None:
        """Deletes what there is, in small bites. Raises `psycopg.Error`."""
        for statement in (_ANSWERS, _ENDED_SESSIONS, _EXPIRED_SESSIONS, _TRIES, _EXPIRED_LINKS):
            await self._prune(statement)

    async def _prune(self, statement: str) -> None:
        for _ in range(MAX_STATEMENTS):
            async with self._pool.connection() as connection:
                deleted = (await connection.execute(statement, (ROWS,))).rowcount
            if deleted < ROWS:
                return

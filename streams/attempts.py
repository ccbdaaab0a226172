"""When something that failed is tried again: the table `reaction_attempts`, so that a restart forgets nothing."""

from __future__ import annotations

from uuid import UUID

from psycopg_pool import AsyncConnectionPool

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1, 600
"""Doubling in between. There is no last try: money that is owed stays owed, and is looked at every ten minutes."""

_FAILED = (
    "INSERT INTO reaction_attempts AS a (order_id, reaction, version, attempts, next_try_at, last_error) VALUES"
    " (%(order)s, %(reaction)s, %(version)s, 1, clock_timestamp() + make_interval(secs => %(first)s), %(error)s)"
    " ON CONFLICT (order_id, reaction) DO UPDATE SET"
    " attempts = CASE WHEN a.version = EXCLUDED.version THEN a.attempts + 1 ELSE 1 END,"
    " last_error = EXCLUDED.last_error, version = EXCLUDED.version,"
    " next_try_at = clock_timestamp() + make_interval(secs =>"
    " LEAST(%(first)s * 2 ^ CASE WHEN a.version = EXCLUDED.version THEN LEAST(a.attempts, 20) ELSE 0 END, %(longest)s))"
)


class Attempts:
    """Every method may raise `psycopg.OperationalError`."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def failed(self, order_id: UUID, version: int, reaction: str, error: str) -> None:
        """Puts the next try off, longer every time, as long as the order is at this version."""
        values = {
            "order": order_id,
            "version": version,
            "reaction": reaction,
            "error": error,
            "first": FIRST_WAIT_SECONDS,
            "longest": LONGEST_WAIT_SECONDS,
        }
        async with self._pool.connection() as connection:
            await connection.execute(_FAILED, values)

    async def done(self, order_id: UUID, reaction: str) -> None:
        """Nothing is left to try."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "DELETE FROM reaction_attempts WHERE order_id = %s AND reaction = %s", (order_id, reaction)
            )

"""Answers given under an idempotency key, read and written without a command (as a rule a command writes them with its
events, see `domain/work.py`)."""

from __future__ import annotations

from uuid import UUID

from psycopg_pool import AsyncConnectionPool


class StoredAnswers:
    """Queries on `outcomes`."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def find(self, scope: UUID, key: str) -> bytes | None:
        """The encoded answer, if one was given. Raises `psycopg.OperationalError`."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute("SELECT answer FROM outcomes WHERE scope = %s AND key = %s", (scope, key))
            row = await cursor.fetchone()
        return None if row is None else row[0]

    async def keep(self, scope: UUID, key: str, fingerprint: bytes, answer: bytes) -> bytes:
        """Stores an answer that no event goes with; returns the one that is stored: the first one ever given.

        Raises `psycopg.OperationalError`; whether it was stored is not known then.
        """
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO outcomes (scope, key, fingerprint, answer) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (scope, key, fingerprint, answer),
            )
        return await self.find(scope, key) or answer

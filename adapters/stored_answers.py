"""Answers given under an idempotency key, read without a command (they are written with one, see `domain/work.py`)."""

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

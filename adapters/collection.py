"""Tickets of interest: a person's own list, as rows. Nothing but they themselves depends on it, so it is no event.

Every method may raise `psycopg.OperationalError` (`psycopg_pool.PoolTimeout` is one).
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

MAX_COLLECTED = 1_000
"""Tickets in one person's list."""

_ADD = (
    "INSERT INTO collection (user_id, ticket_id) SELECT %(user)s, %(ticket)s"
    " WHERE (SELECT count(*) FROM collection WHERE user_id = %(user)s) < %(most)s"
    " OR EXISTS (SELECT FROM collection WHERE user_id = %(user)s AND ticket_id = %(ticket)s)"
    " ON CONFLICT (user_id, ticket_id) DO UPDATE SET user_id = excluded.user_id RETURNING ticket_id"
)
_PAGE = (
    "SELECT ticket_id, added_at FROM collection WHERE user_id = %(user)s"
    " AND (%(at)s::timestamptz IS NULL OR (added_at, ticket_id) < (%(at)s, %(ticket)s::uuid))"
    " ORDER BY added_at DESC, ticket_id DESC LIMIT %(limit)s"
)


class Collection:
    """Queries on `collection`."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def add(self, user_id: UUID, ticket_id: UUID) -> bool:
        """Puts a ticket on the list, twice is once; False when the list is full.

        The bound is a soft one: additions at the very same time may pass it by a few.
        """
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_ADD, {"user": user_id, "ticket": ticket_id, "most": MAX_COLLECTED})
            return await cursor.fetchone() is not None

    async def remove(self, user_id: UUID, ticket_id: UUID) -> None:
        """Takes a ticket off the list; one that is not there changes nothing."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "DELETE FROM collection WHERE user_id = %s AND ticket_id = %s", (user_id, ticket_id)
            )

    async def page(
        self, user_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> list[tuple[UUID, datetime]]:
        """Tickets and when they were added, the newest first, from behind a place (`before`)."""
        at, ticket_id = before or (None, None)
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_PAGE, {"user": user_id, "at": at, "ticket": ticket_id, "limit": limit})
            return await cursor.fetchall()

"""Closes sections of the log as it grows (adapters/log_sections.py). Every worker does it; they write the same."""

from __future__ import annotations

from psycopg_pool import AsyncConnectionPool

from adapters.log_sections import close_sections

INTERVAL_SECONDS = 5.0


class Sealing:
    """The timer that closes sections."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def tick(self) -> None:
        """Closes what can be closed. Raises `psycopg.Error`."""
        async with self._pool.connection() as connection:
            await close_sections(connection)

"""One rebuild at a time, and none that goes on in the server after its process has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import LockNotAvailable
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL

REBUILD_LOCK = 0x5D00_0003
"""The advisory lock of the one rebuild that may run."""

ALONE_TIMEOUT_MS = 3_000
"""How long it is waited for: the server notices within a second that a rebuild was killed, and ends its statement."""


class RebuildError(Exception):
    """The rebuild was given up; the live read models are as they were, and nothing is left. The text says why."""


@asynccontextmanager
async def alone(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    """Makes the connection the session of the one rebuild that may run, and an ordinary one afterwards.

    Raises:
        RebuildError: another one is running.
    """
    try:
        await _take_lock(connection)
        await connection.execute("SET synchronous_commit = off")  # there is nothing to lose until the swap
        await connection.execute("SET client_connection_check_interval = '1s'")  # or the lock outlives a killed rebuild
        yield
    finally:
        if connection.info.transaction_status is TransactionStatus.IDLE:
            await connection.execute("RESET synchronous_commit")
            await connection.execute("RESET client_connection_check_interval")
            await connection.execute("SELECT pg_advisory_unlock_all()")
        else:
            await connection.close()


async def _take_lock(connection: AsyncConnection[Any]) -> None:
    try:
        async with connection.transaction():
            await connection.execute(SQL("SET LOCAL lock_timeout = {}").format(ALONE_TIMEOUT_MS))
            await connection.execute("SELECT pg_advisory_lock(%s)", (REBUILD_LOCK,))
    except LockNotAvailable as error:
        raise RebuildError("another rebuild is running") from error

"""One relay at a time: an advisory lock of PostgreSQL, held by a connection.

Whoever holds it publishes; the others stand by. The server frees the lock when the holder's connection ends, and ends
that connection when the holder is silent: so the lock is free within seconds, also when a process is stopped (SIGSTOP)
or its machine is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from psycopg import AsyncConnection

from adapters.database import CHANNEL, connection_options

RELAY_LOCK = 0x5D00_0004
"""The advisory lock of the one relay that publishes."""

TRY_SECONDS = 1.0
"""Between tries to become the one: well under the five seconds in which another must have taken over."""

SILENCE_MS = 3_500
"""After so much silence the server ends the holder's connection. Holders ask something every `HEARTBEAT_SECONDS`."""

HEARTBEAT_SECONDS = 1.0

_SETUP = (
    f"SET idle_session_timeout = {SILENCE_MS};"
    " SET tcp_keepalives_idle = 1; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3;"
    # A position that is lost is published once more, which is no harm; waiting for the disk would be.
    " SET synchronous_commit = off"
)


@asynccontextmanager
async def leadership(database_url: str) -> AsyncIterator[AsyncConnection[Any]]:
    """Waits until this process is the one relay; yields the connection that makes it so, listening for new events.

    Any `psycopg.OperationalError` on that connection means: no longer.

    Raises:
        psycopg.OperationalError: the database cannot be reached.
    """
    connection = await AsyncConnection.connect(database_url, autocommit=True, **connection_options())
    async with connection:
        await connection.execute(_SETUP)
        while not await _try(connection):  # noqa: ASYNC110 - it is the database that is asked
            await asyncio.sleep(TRY_SECONDS)
        await connection.execute(f"LISTEN {CHANNEL}")
        yield connection


async def wait_for_events(connection: AsyncConnection[Any], timeout_seconds: float) -> None:
    """Returns when something was appended to the log since the last call, or when the time is up."""
    async with aclosing(connection.notifies(timeout=timeout_seconds, stop_after=1)) as notifications:
        async for _ in notifications:
            pass


async def _try(connection: AsyncConnection[Any]) -> bool:
    row = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", (RELAY_LOCK,))).fetchone()
    return row is not None and bool(row[0])

"""PostgreSQL: migrations and connection pools. Every wait on the database is bounded."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

CONNECT_TIMEOUT_SECONDS = 5
POOL_WAIT_SECONDS = 5.0

RECONNECT_SECONDS = 2.0
"""How long a pool tries by itself, each time after twice as long a pause. Then whoever asks for a connection begins the
next try, so that after a long outage nobody waits for a pause that has grown to half a minute."""

STATEMENT_TIMEOUT_MS = 15_000
"""No query of ours takes longer; a hung one must not keep its connection."""

APPEND_LOCK = 0x5D00_0001
"""The advisory lock that appending to the log takes, see `adapters/event_store.py`."""
MIGRATION_LOCK = 0x5D00_0002

CHANNEL = "stored_events"
"""NOTIFY on every append: a wake-up for who tails the log, never a promise."""

SCHEMAS = ("adapters.schema", "projections.schema")
"""Where the migrations lie, in the order they are applied."""


def connection_options(*, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> dict[str, Any]:
    """libpq settings every connection has: a peer that vanished is noticed within seconds."""
    return {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "options": f"-c statement_timeout={statement_timeout_ms} -c timezone=UTC",
    }


def make_pool(database_url: str, *, max_size: int, min_size: int = 1) -> AsyncConnectionPool:
    """A bounded pool of autocommit connections, not yet opened (`await pool.open()`)."""
    return AsyncConnectionPool(
        database_url,
        min_size=min_size,
        max_size=max_size,
        open=False,
        timeout=POOL_WAIT_SECONDS,
        reconnect_timeout=RECONNECT_SECONDS,
        max_waiting=1_000,  # a second's worth of reads; beyond, `TooManyRequests`
        kwargs={"autocommit": True, **connection_options()},
    )


def migrate(database_url: str) -> None:
    """Makes or updates the schema: every `*.sql` of `SCHEMAS` once, in name order.

    Raises:
        psycopg.OperationalError: the database cannot be reached.
    """
    with psycopg.connect(database_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied_at timestamptz DEFAULT now())"
        )
        applied = {row[0] for row in connection.execute("SELECT name FROM migrations")}
        for name, statements in _migrations():
            if name not in applied:
                with connection.transaction():
                    connection.execute(statements.encode())
                    connection.execute("INSERT INTO migrations (name) VALUES (%s)", (name,))


def pending_migrations(applied: set[str]) -> list[str]:
    """The names of migrations that the database has not seen."""
    return [name for name, _ in _migrations() if name not in applied]


def _migrations() -> list[tuple[str, str]]:
    return [
        (f"{package}/{file.name}", file.read_text(encoding="utf-8"))
        for package in SCHEMAS
        for file in sorted(files(package).iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    ]

"""Writes the records that are stored beside the log, inside the transaction of the events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from psycopg import AsyncConnection

from domain.records import (
    Account,
    AccountChange,
    AccountErased,
    EmailVerified,
    Letter,
    Outcome,
    Record,
    Session,
    SessionsEnded,
)


async def write_records(connection: AsyncConnection[Any], records: Sequence[Record]) -> None:
    """Writes all of them, in order; the answers to idempotent requests, which are many, by one statement."""
    outcomes = [record for record in records if isinstance(record, Outcome)]
    if outcomes:
        await connection.execute(
            "INSERT INTO outcomes (scope, key, fingerprint, answer)"
            " SELECT * FROM unnest(%b::uuid[], %b::text[], %b::bytea[], %b::bytea[])",
            (
                [outcome.scope for outcome in outcomes],
                [outcome.key for outcome in outcomes],
                [outcome.fingerprint for outcome in outcomes],
                [outcome.answer for outcome in outcomes],
            ),
        )
    for record in records:
        if not isinstance(record, Outcome):
            await _write(record, connection)


@singledispatch
async def _write(record: Any, connection: AsyncConnection[Any]) -> None:
    raise NotImplementedError(type(record).__name__)


@_write.register
async def _(record: Account, connection: AsyncConnection[Any]) -> None:
    await connection.execute(
        "INSERT INTO accounts (user_id, email, name, password_hash) VALUES (%s, %s, %s, %s)",
        (record.user_id, record.email, record.name, record.password_hash),
    )


@_write.register
async def _(record: AccountChange, connection: AsyncConnection[Any]) -> None:
    await connection.execute(
        "UPDATE accounts SET email = COALESCE(%s, email), name = COALESCE(%s, name),"
        " password_hash = COALESCE(%s, password_hash) WHERE user_id = %s",
        (record.email, record.name, record.password_hash, record.user_id),
    )
    if record.email is not None:
        await connection.execute("UPDATE accounts SET email_verified_at = NULL WHERE user_id = %s", (record.user_id,))
    if record.cancels_links:
        await connection.execute("DELETE FROM links WHERE user_id = %s", (record.user_id,))


@_write.register
async def _(record: AccountErased, connection: AsyncConnection[Any]) -> None:
    await connection.execute("DELETE FROM accounts WHERE user_id = %s", (record.user_id,))
    await connection.execute("DELETE FROM collection WHERE user_id = %s", (record.user_id,))
    await connection.execute("DELETE FROM outcomes WHERE scope = %s", (record.user_id,))
    await connection.execute("DELETE FROM links WHERE user_id = %s", (record.user_id,))
    await connection.execute("DELETE FROM letters WHERE user_id = %s", (record.user_id,))


@_write.register
async def _(record: EmailVerified, connection: AsyncConnection[Any]) -> None:
    await connection.execute(
        "UPDATE accounts SET email_verified_at = clock_timestamp() WHERE user_id = %s", (record.user_id,)
    )
    await connection.execute("DELETE FROM links WHERE user_id = %s AND purpose = 'verify_email'", (record.user_id,))


@_write.register
async def _(record: Letter, connection: AsyncConnection[Any]) -> None:
    await connection.execute(
        "INSERT INTO letters (kind, user_id, recipient) VALUES (%s, %s, %s)",
        (record.kind, record.user_id, record.recipient),
    )


@_write.register
async def _(record: Session, connection: AsyncConnection[Any]) -> None:
    await connection.execute(
        "INSERT INTO sessions (session_id, user_id, refresh_hash, expires_at) VALUES (%s, %s, %s, %s)",
        (record.session_id, record.user_id, record.refresh_hash, record.expires_at),
    )


@_write.register
async def _(record: SessionsEnded, connection: AsyncConnection[Any]) -> None:
    await connection.execute(
        "UPDATE sessions SET ended_at = clock_timestamp()"
        " WHERE user_id = %s AND ended_at IS NULL AND session_id IS DISTINCT FROM %s",
        (record.user_id, record.but),
    )

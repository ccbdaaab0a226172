"""Writes the records that are stored beside the log, inside the transaction of the events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from psycopg import Connection

from domain.records import Account, AccountChange, AccountErased, Outcome, Record, Session, SessionsEnded


def write_records(connection: Connection[Any], records: Sequence[Record]) -> None:
    """Writes all of them, in order; the answers to idempotent requests, which are many, by one statement."""
    outcomes = [record for record in records if isinstance(record, Outcome)]
    if outcomes:
        connection.execute(
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
            _write(record, connection)


@singledispatch
def _write(record: Any, connection: Connection[Any]) -> None:
    raise NotImplementedError(type(record).__name__)


@_write.register
def _(record: Account, connection: Connection[Any]) -> None:
    connection.execute(
        "INSERT INTO accounts (user_id, email, name, password_hash) VALUES (%s, %s, %s, %s)",
        (record.user_id, record.email, record.name, record.password_hash),
    )


@_write.register
def _(record: AccountChange, connection: Connection[Any]) -> None:
    connection.execute(
        "UPDATE accounts SET email = COALESCE(%s, email), name = COALESCE(%s, name),"
        " password_hash = COALESCE(%s, password_hash) WHERE user_id = %s",
        (record.email, record.name, record.password_hash, record.user_id),
    )


@_write.register
def _(record: AccountErased, connection: Connection[Any]) -> None:
    connection.execute("DELETE FROM accounts WHERE user_id = %s", (record.user_id,))
    connection.execute("DELETE FROM collection WHERE user_id = %s", (record.user_id,))
    connection.execute("DELETE FROM outcomes WHERE scope = %s", (record.user_id,))


@_write.register
def _(record: Session, connection: Connection[Any]) -> None:
    connection.execute(
        "INSERT INTO sessions (session_id, user_id, refresh_hash, expires_at) VALUES (%s, %s, %s, %s)",
        (record.session_id, record.user_id, record.refresh_hash, record.expires_at),
    )


@_write.register
def _(record: SessionsEnded, connection: Connection[Any]) -> None:
    connection.execute(
        "UPDATE sessions SET ended_at = clock_timestamp()"
        " WHERE user_id = %s AND ended_at IS NULL AND session_id IS DISTINCT FROM %s",
        (record.user_id, record.but),
    )

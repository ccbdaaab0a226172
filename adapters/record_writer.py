"""Writes the records that are stored beside the log, inside the transaction of the events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from psycopg import AsyncConnection

from adapters.house_key import HouseKey
from adapters.letters import RECIPIENT
from adapters.personal_data import EMAIL, NAME, find_person_key, make_person_key
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

_ACCOUNT = (
    "WITH key AS (INSERT INTO personal_keys (user_id, sealed_key) VALUES (%(user)s, %(key)s))"
    " INSERT INTO accounts (user_id, email_hash, email, name, password_hash)"
    " VALUES (%(user)s, %(hash)s, %(email)s, %(name)s, %(password_hash)s)"
)
_CHANGE = (
    "UPDATE accounts SET email_hash = COALESCE(%s, email_hash), email = COALESCE(%s, email),"
    " name = COALESCE(%s, name), password_hash = COALESCE(%s, password_hash) WHERE user_id = %s"
)
# The answer to a sign-up under an idempotency key has the address in it. Its scope is the beginning of the address's
# hash (`HouseKey.address_scope`).
_FORGET_SIGN_UP = (
    "DELETE FROM outcomes WHERE scope ="
    " (SELECT encode(substring(email_hash FOR 16), 'hex')::uuid FROM accounts WHERE user_id = %s)"
)


async def write_records(
    connection: AsyncConnection[Any], records: Sequence[Record], house_key: HouseKey | None
) -> None:
    """Writes all of them, in order; the answers to idempotent requests, which are many, by one statement.

    Args:
        house_key: what personal data is sealed with; processes that write none have none.
    """
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
            await _write(record, connection, house_key)


@singledispatch
async def _write(record: Any, connection: AsyncConnection[Any], house_key: HouseKey | None) -> None:
    raise NotImplementedError(type(record).__name__)


@_write.register
async def _(record: Account, connection: AsyncConnection[Any], house_key: HouseKey | None) -> None:
    assert house_key is not None, "who opens accounts has the house key"
    key, sealed_key = make_person_key(house_key, record.user_id)
    await connection.execute(
        _ACCOUNT.encode(),
        {
            "user": record.user_id,
            "key": sealed_key,
            "hash": house_key.address_hash(record.email),
            "email": key.seal(EMAIL, record.email),
            "name": key.seal(NAME, record.name),
            "password_hash": record.password_hash,
        },
    )


@_write.register
async def _(record: AccountChange, connection: AsyncConnection[Any], house_key: HouseKey | None) -> None:
    assert house_key is not None, "who changes accounts has the house key"
    key = await find_person_key(connection, house_key, record.user_id)
    if key is None:
        return  # the row is not there either
    email_hash = email = name = None
    if record.email is not None:
        await connection.execute(_FORGET_SIGN_UP, (record.user_id,))
        email_hash, email = house_key.address_hash(record.email), key.seal(EMAIL, record.email)
    if record.name is not None:
        name = key.seal(NAME, record.name)
    await connection.execute(_CHANGE.encode(), (email_hash, email, name, record.password_hash, record.user_id))
    if record.email is not None:
        await connection.execute("UPDATE accounts SET email_verified_at = NULL WHERE user_id = %s", (record.user_id,))
    if record.cancels_links:
        await connection.execute("DELETE FROM links WHERE user_id = %s", (record.user_id,))


@_write.register
async def _(record: AccountErased, connection: AsyncConnection[Any], _: HouseKey | None) -> None:
    await connection.execute("DELETE FROM personal_keys WHERE user_id = %s", (record.user_id,))
    await connection.execute(_FORGET_SIGN_UP, (record.user_id,))
    await connection.execute("DELETE FROM accounts WHERE user_id = %s", (record.user_id,))
    await connection.execute("DELETE FROM collection WHERE user_id = %s", (record.user_id,))
    await connection.execute("DELETE FROM outcomes WHERE scope = %s", (record.user_id,))
    await connection.execute("DELETE FROM links WHERE user_id = %s", (record.user_id,))
    await connection.execute("DELETE FROM letters WHERE user_id = %s", (record.user_id,))


@_write.register
async def _(record: EmailVerified, connection: AsyncConnection[Any], _: HouseKey | None) -> None:
    await connection.execute(
        "UPDATE accounts SET email_verified_at = clock_timestamp() WHERE user_id = %s", (record.user_id,)
    )
    await connection.execute("DELETE FROM links WHERE user_id = %s AND purpose = 'verify_email'", (record.user_id,))


@_write.register
async def _(record: Letter, connection: AsyncConnection[Any], house_key: HouseKey | None) -> None:
    recipient = None
    if record.recipient is not None:
        assert house_key is not None, "who changes accounts has the house key"
        recipient = house_key.seal(record.recipient.encode(), RECIPIENT)
    await connection.execute(
        "INSERT INTO letters (kind, user_id, recipient) VALUES (%s, %s, %s)",
        (record.kind, record.user_id, recipient),
    )


@_write.register
async def _(record: Session, connection: AsyncConnection[Any], _: HouseKey | None) -> None:
    await connection.execute(
        "INSERT INTO sessions (session_id, user_id, refresh_hash, expires_at) VALUES (%s, %s, %s, %s)",
        (record.session_id, record.user_id, record.refresh_hash, record.expires_at),
    )


@_write.register
async def _(record: SessionsEnded, connection: AsyncConnection[Any], _: HouseKey | None) -> None:
    await connection.execute(
        "UPDATE sessions SET ended_at = clock_timestamp()"
        " WHERE user_id = %s AND ended_at IS NULL AND session_id IS DISTINCT FROM %s",
        (record.user_id, record.but),
    )

"""Accounts of an earlier version, whose names and addresses are in plain text: sealed in batches, then nothing plain is
left in the table. Ended half-way, it goes on where it was.
"""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import psycopg

from adapters.database import MIGRATION_LOCK, connection_options
from adapters.house_key import HAS_PLAIN_ACCOUNTS, HouseKey
from adapters.personal_data import EMAIL, NAME, make_person_key
from adapters.token_keys import PEM_BEGIN, sealed_pem

BATCH = 500
"""Accounts in one transaction, some tens of milliseconds."""

_NEXT = "SELECT user_id, plain_email, plain_name FROM accounts WHERE email_hash IS NULL LIMIT %s"
_KEEP_KEY = (
    "INSERT INTO personal_keys (user_id, sealed_key) VALUES (%s, %s)"
    " ON CONFLICT (user_id) DO UPDATE SET sealed_key = excluded.sealed_key"
)
_SEAL = (
    "UPDATE accounts SET email_hash = %s, email = %s, name = %s, plain_email = NULL, plain_name = NULL"
    " WHERE user_id = %s"
)
_MOVE_ANSWERS = (
    "UPDATE outcomes SET scope = moved.scope FROM unnest(%s::uuid[], %s::uuid[]) AS moved (before, scope)"
    " WHERE outcomes.scope = moved.before"
)


def seal_what_is_plain(database_url: str, house_key: HouseKey) -> int:
    """Seals accounts and signing keys that are in plain text; returns how many accounts.

    Nothing else may run on the database: an older version of the program would not find the accounts.

    Raises:
        psycopg.Error: the database refused or went away; calling it again goes on.
    """
    options = connection_options(statement_timeout_ms=0)
    count = 0
    with psycopg.connect(database_url, autocommit=True, **options) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        _seal_signing_keys(connection, house_key)
        if not _one(connection, HAS_PLAIN_ACCOUNTS):
            return 0
        while rows := connection.execute(_NEXT, (BATCH,)).fetchall():  # each has an address hash afterwards
            _seal_batch(connection, house_key, rows)
            count += len(rows)
        with connection.transaction():
            connection.execute("CALL drop_plain_accounts()")
            connection.execute("DROP PROCEDURE drop_plain_accounts()")
    return count


def _seal_batch(connection: psycopg.Connection[Any], house_key: HouseKey, rows: list[tuple[UUID, str, str]]) -> None:
    keys, accounts = [], []
    for user_id, email, name in rows:
        key, sealed_key = make_person_key(house_key, user_id)
        keys.append((user_id, sealed_key))
        accounts.append((house_key.address_hash(email), key.seal(EMAIL, email), key.seal(NAME, name), user_id))
    # An address's scope used to be a plain hash of it, which anybody can try addresses on.
    scopes = [(uuid5(NAMESPACE_URL, f"mailto:{email}"), house_key.address_scope(email)) for _, email, _ in rows]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_KEEP_KEY, keys)
        cursor.executemany(_SEAL, accounts)
        cursor.execute(_MOVE_ANSWERS, ([before for before, _ in scopes], [scope for _, scope in scopes]))


def _seal_signing_keys(connection: psycopg.Connection[Any], house_key: HouseKey) -> None:
    plain = connection.execute(
        "SELECT kid, private_pem FROM signing_keys WHERE private_pem LIKE %s", (PEM_BEGIN + "%",)
    ).fetchall()
    for kid, pem in plain:
        connection.execute(
            "UPDATE signing_keys SET private_pem = %s WHERE kid = %s", (sealed_pem(house_key, kid, pem), kid)
        )


def _one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return None if row is None else row[0]

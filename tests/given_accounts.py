"""Accounts put straight into a database."""

from __future__ import annotations

import psycopg

from adapters.personal_data import EMAIL, NAME, make_person_key
from domain.records import Account
from tests.conftest import HOUSE_KEY


def give_account(database_url: str, account: Account) -> None:
    """An account without an event, sealed with `HOUSE_KEY`."""
    key, sealed_key = make_person_key(HOUSE_KEY, account.user_id)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO house_key (check_value) VALUES (%s) ON CONFLICT DO NOTHING", (HOUSE_KEY.check,))
        connection.execute("INSERT INTO personal_keys VALUES (%s, %s)", (account.user_id, sealed_key))
        connection.execute(
            "INSERT INTO accounts (user_id, email_hash, email, name, password_hash) VALUES (%s, %s, %s, %s, %s)",
            (
                account.user_id,
                HOUSE_KEY.address_hash(account.email),
                key.seal(EMAIL, account.email),
                key.seal(NAME, account.name),
                account.password_hash,
            ),
        )

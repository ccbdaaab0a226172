"""Accounts and access tokens by the thousand, written straight into the database: signing up is not what is measured
(Argon2id takes its time on purpose)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from adapters.database import make_pool
from adapters.house_key import open_house_key
from adapters.settings import Settings
from adapters.token_keys import TokenKeys
from api.auth import LIFETIME, AccessTokens
from api.sessions import EndedSessions


def make_accounts(database_url: str, count: int) -> list[UUID]:
    """So many accounts with a session each; the session has the id of the account."""
    ids = [uuid4() for _ in range(count)]
    expires_at = datetime.now(UTC) + timedelta(days=1)
    with psycopg.connect(database_url) as connection:
        # Nobody ever asks for their names: what would be sealed is empty.
        columns = "user_id, email_hash, email, name, password_hash"
        with connection.cursor().copy(f"COPY accounts ({columns}) FROM STDIN") as copy:
            for user_id in ids:
                copy.write_row((user_id, user_id.bytes, b"", b"", "no password"))
        with connection.cursor().copy("COPY personal_keys (user_id, sealed_key) FROM STDIN") as copy:
            for user_id in ids:
                copy.write_row((user_id, b""))
        with connection.cursor().copy(
            "COPY sessions (session_id, user_id, refresh_hash, expires_at) FROM STDIN"
        ) as copy:
            for user_id in ids:
                copy.write_row((user_id, user_id, b"", expires_at))
    return ids


def make_tokens(database_url: str, accounts: Sequence[UUID]) -> list[str]:
    """An access token for each, good for ten minutes. They are signed with the database's key, which is sealed with the
    house key: `STAGEDOOR_MASTER_KEY_FILE` names the same one to this process and to the marketplace."""
    house_key = open_house_key(replace(Settings.from_environment(), database_url=database_url))

    async def issue() -> list[str]:
        async with make_pool(database_url, max_size=1) as pool:
            keys = TokenKeys(pool, house_key)
            await keys.load()
            ended: Any = EndedSessions  # only verifying looks at it
            tokens = AccessTokens(keys, ended)
            return [tokens.issue(user_id, user_id, is_admin=False) for user_id in accounts]

    assert timedelta(minutes=10) <= LIFETIME
    return asyncio.run(issue())

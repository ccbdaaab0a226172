"""Accounts of a version that kept them in plain text: `migrate` seals them, and leaves nothing plain."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import psycopg
import pytest

from adapters import database, plain_accounts
from adapters.house_key import open_house_key
from adapters.plain_accounts import seal_what_is_plain
from adapters.settings import Settings, SettingsError
from tests.api.house import running_house, settings_of
from tests.conftest import with_database
from tests.privacy.searching import columns_with
from tests.streams.parts import rows

COUNT, BATCH = 123, 50
PEM = "-----BEGIN PRIVATE KEY-----\nplain\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def old(server_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database of the version before, with accounts in it; `database.migrate` brings it up to date."""
    monkeypatch.setattr(plain_accounts, "BATCH", BATCH)
    name = f"t{uuid4().hex}"
    rows(server_url, f"CREATE DATABASE {name}")
    url = with_database(server_url, name)
    every = database._migrations()
    sealing = next(place for place, (file, _) in enumerate(every) if file.endswith("0004_personal_data.sql"))
    with monkeypatch.context() as patch:
        patch.setattr(database, "_migrations", lambda: every[:sealing] + every[sealing + 1 :])
        database.migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        for number in range(COUNT):
            email = f"person{number}@quillfeather.example"
            connection.execute(
                "INSERT INTO accounts (user_id, email, name, password_hash) VALUES (%s, %s, %s, 'h')",
                (UUID(int=number), email, f"Quillfeather {number}"),
            )
        connection.execute("DELETE FROM accounts WHERE user_id = %s", (UUID(int=0),))
        scope = uuid5(NAMESPACE_URL, "mailto:person1@quillfeather.example")
        connection.execute("INSERT INTO outcomes VALUES (%s, 'k', '', 'answer')", (scope,))
        connection.execute("INSERT INTO signing_keys (kid, private_pem) VALUES ('old', %s)", (PEM,))
    yield url
    rows(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(old: str, tmp_path: Path) -> Settings:
    return settings_of(old, tmp_path, stripe_api_base="http://127.0.0.1:1")


def seal(settings: Settings) -> int:
    assert settings.database_url is not None
    database.migrate(settings.database_url)
    return seal_what_is_plain(settings.database_url, open_house_key(settings, for_sealing=True))


def table_file(url: str) -> bytes:
    """The table as it lies on the disk."""
    rows(url, "CHECKPOINT")
    [(folder, file)] = rows(url, "SELECT current_setting('data_directory'), pg_relation_filepath('accounts')")
    return subprocess.run(["cat", f"{folder}/{file}"], capture_output=True, check=True).stdout


def test_all_are_sealed_and_nothing_plain_is_left(old: str, settings: Settings) -> None:
    assert b"quillfeather" in table_file(old).lower()
    assert seal(settings) == COUNT - 1
    assert columns_with(old) == set()
    assert b"quillfeather" not in table_file(old).lower(), "not in the rows that are dead either"
    assert "PRIVATE KEY" not in rows(old, "SELECT private_pem FROM signing_keys")[0][0]
    columns = {row[0] for row in rows(old, "SELECT attname FROM pg_attribute WHERE attrelid = 'accounts'::regclass")}
    assert not {"plain_email", "plain_name"} & columns
    house_key = open_house_key(settings)
    assert rows(old, "SELECT scope FROM outcomes") == [(house_key.address_scope("person1@quillfeather.example"),)]
    assert seal(settings) == 0


async def test_they_are_found_again(settings: Settings, old: str) -> None:
    seal(settings)
    rows(old, "DELETE FROM signing_keys")  # that one is no key at all
    async with running_house(settings) as house:
        account = await house.services.accounts.by_email("person7@quillfeather.example")
    assert account is not None
    assert (account.user_id, account.name) == (UUID(int=7), "Quillfeather 7")


def test_ended_half_way_it_goes_on(old: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    real, batches = plain_accounts._seal_batch, []

    def dying(*arguments: object) -> None:
        if len(batches) == 1:
            raise psycopg.OperationalError("the connection is gone")
        batches.append(1)
        real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(plain_accounts, "_seal_batch", dying)
        with pytest.raises(psycopg.OperationalError):
            seal(settings)
    [(left,)] = rows(old, "SELECT count(*) FROM accounts WHERE email_hash IS NULL")
    assert left == COUNT - 1 - BATCH
    with pytest.raises(SettingsError, match="run `stagedoor migrate`"):  # no API begins on it
        open_house_key(settings)
    assert seal(settings) == left
    assert columns_with(old) == set()
    open_house_key(settings)

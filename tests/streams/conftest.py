"""Brokers: librdkafka's for every test, Apache Kafka where it can run (where CI runs, it must)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.database import make_pool
from adapters.event_log import EventLog
from cli.embedded import apache_kafka, kafka_jars
from cli.embedded.console import Console
from cli.supervisor import Supervisor
from domain.published import PublishedEvent
from tests.streams.parts import Part, eventually, parts, wipe


@pytest.fixture
def started() -> Iterator[list[Part]]:
    with parts() as those:
        yield those


class Builtin:
    """The broker that comes with librdkafka, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "address"
        self._file.unlink(missing_ok=True)
        self.part = Part("broker", folder, "--address-file", str(self._file)).start()

    async def address(self) -> str:
        await eventually(self._file.exists, "the broker is there")
        return self._file.read_text().strip()


@pytest.fixture
def make_builtin(tmp_path: Path, started: list[Part]) -> Callable[[], Builtin]:
    """Starts one more, empty broker."""

    def make() -> Builtin:
        builtin = Builtin(tmp_path)
        started.append(builtin.part)
        return builtin

    return make


@pytest.fixture(scope="session")
def apache_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Apache Kafka for the test session."""
    folder = tmp_path_factory.mktemp("apache")
    shared = os.environ.get("STAGEDOOR_KAFKA_LIBS")
    libs = Path(shared).resolve() if shared else folder / "libs"
    lack = kafka_jars.missing(libs)
    if lack:
        assert os.environ.get("CI") != "true", f"Apache Kafka is required where CI runs: {lack}"
        pytest.skip(f"Apache Kafka cannot run here: {lack}")
    supervisor = Supervisor(Console(), folder / "logs")
    kafka_jars.fetch(libs, supervisor, Console())
    address = apache_kafka.prepare(folder, libs, supervisor)
    supervisor.start(apache_kafka.part(folder, libs, address, Console()))
    yield address
    supervisor.stop()


@pytest.fixture
def apache(apache_address: str) -> str:
    """Its address; our topics are not there."""
    wipe(apache_address)
    return apache_address


@pytest.fixture(params=["builtin", pytest.param("apache", marks=pytest.mark.long)])
async def kafka(request: pytest.FixtureRequest, make_builtin: Callable[[], Builtin]) -> str:
    """Either broker, empty; its address."""
    if request.param == "builtin":
        return await make_builtin().address()
    address: str = request.getfixturevalue("apache")
    return address


@dataclass
class Log:
    """The store's log, read back."""

    database_url: str

    async def read(self) -> list[PublishedEvent]:
        async with make_pool(self.database_url, max_size=1) as pool:
            return await EventLog(pool).after(0, limit=1_000_000)


@pytest.fixture
def log(database_url: str) -> Log:
    return Log(database_url)


@pytest.fixture
def part(database_url: str, tmp_path: Path, started: list[Part]) -> Callable[[str, str], Part]:
    """Starts `relay` or `worker` (with a suffix for more than one) on a broker."""

    def start(name: str, bootstrap_servers: str) -> Part:
        made = Part(
            name,
            tmp_path,
            DATABASE_URL=database_url,
            KAFKA_BOOTSTRAP_SERVERS=bootstrap_servers,
            STRIPE_SECRET_KEY="sk_test_unused",
            STRIPE_WEBHOOK_SECRET="whsec_unused",
            STRIPE_API_BASE="http://127.0.0.1:9",
        )
        started.append(made)
        return made.start()

    return start

"""What fault tests share: a whole marketplace for the session, a fresh database and parts alone for each test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from cli.embedded.ports import free_port
from tests.api.conftest import sandbox_url
from tests.api.house import House, running_house, settings_of
from tests.e2e.test_up_end_to_end import require
from tests.e2e.up import Up, eventually
from tests.faults.client import Client
from tests.faults.proxy import Proxy
from tests.streams.conftest import apache, apache_address, log, make_builtin, part, started
from tests.streams.parts import Part

__all__ = ["apache", "apache_address", "log", "make_builtin", "part", "sandbox_url", "started"]

StartApi = Callable[..., Client]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One `stagedoor up` on Apache Kafka; every fault must leave it whole for the next one."""
    require("java")
    require("mvn")
    libs = os.environ.get("STAGEDOOR_KAFKA_LIBS") or str(tmp_path_factory.getbasetemp() / "kafka-libs")
    up = Up(
        tmp_path_factory.mktemp("whole") / "data", "apache", STAGEDOOR_KAFKA_LIBS=libs, STAGEDOOR_MAX_HELD_PER_BUYER="0"
    )
    up.start()
    yield up
    up.ensure_ended()


@pytest.fixture
def up(whole: Up) -> Up:
    """The whole marketplace, ready."""
    eventually(Client(whole.url).is_ready, bool, 30)
    return whole


@pytest.fixture
def start_api(database_url: str, tmp_path: Path, started: list[Part]) -> StartApi:
    """Starts API processes on the test's database (or another one), with variables of their own."""

    def start(url: str = database_url, **environment: str) -> Client:
        port = free_port()
        made = Part(
            f"api-{port}",
            tmp_path,
            **{
                "DATABASE_URL": url,
                "STAGEDOOR_PORT": str(port),
                "STAGEDOOR_RATE_LIMIT": "off",
                "STAGEDOOR_MAX_HELD_PER_BUYER": "0",  # a few shoppers order by the hundred
                "STRIPE_SECRET_KEY": "sk_test_unused",
                "STRIPE_WEBHOOK_SECRET": "whsec_unused",
                "STRIPE_API_BASE": "http://127.0.0.1:9",
                **environment,
            },
        )
        started.append(made)
        made.start()
        client = Client(f"http://127.0.0.1:{port}")
        eventually(client.is_ready, bool, 30)
        return client

    return start


@pytest.fixture
async def house(database_url: str, sandbox_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """An API process in the test's own loop, on a real port; Stripe's webhooks do not come."""
    async with running_house(settings_of(database_url, tmp_path, stripe_api_base=sandbox_url)) as one:
        yield one


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(database_url) as one:
        yield one


@pytest.fixture
async def house_behind_proxy(proxy: Proxy, sandbox_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """The same, but its way to the store is the proxy."""
    async with running_house(settings_of(proxy.url, tmp_path, stripe_api_base=sandbox_url)) as one:
        yield one

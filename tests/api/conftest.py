"""A marketplace for each test, on a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from cli.embedded.ports import free_port
from tests.api.house import House, running_house, running_sandbox, settings_of

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
async def sandbox_url(tmp_path: Path) -> AsyncIterator[str]:
    """A sandbox that sends no webhooks."""
    async with running_sandbox(tmp_path / "sandbox.sqlite3") as url:
        yield url


@pytest.fixture
def open_house(database_url: str, sandbox_url: str, tmp_path: Path) -> OpenHouse:
    """Opens API processes on the test's database, with settings of one's own."""

    def open_one(**more: Any) -> AbstractAsyncContextManager[House]:
        return running_house(settings_of(database_url, tmp_path, **{"stripe_api_base": sandbox_url} | more))

    return open_one


@pytest.fixture
async def house(open_house: OpenHouse) -> AsyncIterator[House]:
    """One API process; Stripe's webhooks do not come."""
    async with open_house() as one:
        yield one


@pytest.fixture
async def house_with_webhooks(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """One API process; the sandbox sends it webhooks."""
    port = free_port()
    webhook_url = f"http://127.0.0.1:{port}/api/webhooks/stripe"
    async with running_sandbox(tmp_path / "sandbox.sqlite3", webhook_url) as sandbox_url:
        settings = settings_of(database_url, tmp_path, stripe_api_base=sandbox_url)
        async with running_house(settings, port) as one:
            yield one

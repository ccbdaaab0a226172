"""One sandbox with one webhook endpoint for the tests that share it; each of them makes its own intents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.harness import Endpoint, Sandbox, listening


@pytest.fixture(scope="session")
def _endpoint() -> Iterator[Endpoint]:
    with listening() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def _sandbox(tmp_path_factory: pytest.TempPathFactory, _endpoint: Endpoint) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox") / "state.sqlite3", _endpoint.url) as running:
        yield running


@pytest.fixture
def sandbox(_sandbox: Sandbox) -> Iterator[Sandbox]:
    """The shared sandbox, with every switch off before and after."""
    yield _sandbox
    _sandbox.call("DELETE", "/_sandbox/faults")


@pytest.fixture
def endpoint(_endpoint: Endpoint) -> Iterator[Endpoint]:
    """The shared sandbox's webhook endpoint, answering 200."""
    yield _endpoint
    _endpoint.statuses.clear()


@pytest.fixture
def state_path(tmp_path: Path) -> Path:
    """Where a sandbox of one's own keeps its state; the folder does not exist yet."""
    return tmp_path / "state" / "sandbox.sqlite3"

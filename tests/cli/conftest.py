"""What the tests of the command share: a console that remembers, and waiting with a bound."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.embedded.console import Console
from cli.supervisor import Supervisor


@pytest.fixture
def console() -> Console:
    """What is said can be read from `console.stream`."""
    return Console(stream=io.StringIO())


@pytest.fixture
def supervisor(console: Console, tmp_path: Path):
    """A supervisor whose children are ended whatever the test does."""
    made = Supervisor(console, tmp_path / "logs")
    yield made
    made.stop()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Fails unless `true` becomes true within some seconds."""

    def wait(true: Callable[[], object], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "did not become true in time"
            time.sleep(0.05)

    return wait

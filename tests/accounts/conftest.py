"""A marketplace for each test, and the letters it sends."""

from __future__ import annotations

from pathlib import Path

import pytest

from api import post_office
from tests.accounts.postbox import Postbox
from tests.api.conftest import house, open_house, sandbox_url
from tests.faults.conftest import start_api
from tests.streams.conftest import started

__all__ = ["house", "open_house", "sandbox_url", "start_api", "started"]


@pytest.fixture(autouse=True)
def _prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters are sent at once."""
    monkeypatch.setattr(post_office, "IDLE_SECONDS", 0.02)


@pytest.fixture
def postbox(tmp_path: Path) -> Postbox:
    """The letters of the houses of this test."""
    return Postbox(tmp_path / "outbox")

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli_clients.stand_in import StandIn


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A stand-in that serves; the commands keep their files in a folder of the test's own."""
    monkeypatch.setenv("STAGEDOOR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "120")
    with StandIn().serving() as stand_in:
        yield stand_in

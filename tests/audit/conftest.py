"""The real command in this process, on a fresh database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import run


@dataclass(frozen=True)
class Said:
    """What a command line came to."""

    code: int
    out: str
    err: str

    def one_line(self) -> str:
        """What it said on standard error, which is one line of the command's own, and nothing else."""
        assert self.out == ""
        assert self.err.count("\n") == 1
        assert self.err.startswith("stagedoor: ")
        return self.err.removeprefix("stagedoor: ").strip()


Stagedoor = Callable[..., Said]


@pytest.fixture
def stagedoor(
    database_url: str, house_key_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Stagedoor:
    """Runs one command line on the test's database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("STAGEDOOR_MASTER_KEY_FILE", str(house_key_file))

    def call(*arguments: object) -> Said:
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return call

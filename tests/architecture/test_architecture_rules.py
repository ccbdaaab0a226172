"""The import contracts of pyproject.toml hold, and each of them can fail: one that cannot is no rule."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

VIOLATIONS = {
    "domain": ("domain", "import psycopg"),
    "projections": ("projections", "import domain.marketplace"),
    "adapters": ("adapters", "import projections"),
    "streams": ("streams", "import api"),
    "api": ("api", "import streams"),
    "api-reads": ("api", "import projections.writer"),
    "sandbox": ("sandbox", "import domain"),
    "cli": ("data", "import cli"),
    "web": ("web", "import api"),
    "pages": ("streams", "import web"),
}
"""For each contract, a room and an import it must not have."""


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--config", "pyproject.toml", "--no-cache"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """Empty rooms under the real contracts."""
    for room in CONFIG["root_packages"]:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
    named = {module for contract in CONFIG["contracts"] for module in contract["forbidden_modules"] if "." in module}
    for module in named:
        (tmp_path / module.replace(".", "/")).with_suffix(".py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_empty_rooms_keep_every_contract(rooms: Path) -> None:
    linted = lint(rooms)
    assert linted.returncode == 0, linted.stdout


def test_every_contract_has_a_violation_that_breaks_it() -> None:
    assert set(VIOLATIONS) == {contract["id"] for contract in CONFIG["contracts"]}


@pytest.mark.parametrize("contract", CONFIG["contracts"], ids=lambda contract: contract["id"])
def test_a_violation_breaks_its_contract(rooms: Path, contract: dict[str, str]) -> None:
    room, statement = VIOLATIONS[contract["id"]]
    (rooms / room / "offender.py").write_text(statement + "\n")
    linted = lint(rooms)
    assert linted.returncode == 1
    assert f"{contract['name']} BROKEN" in " ".join(linted.stdout.split())


def test_no_module_that_rebuilds_is_forgotten() -> None:
    (reads,) = (contract for contract in CONFIG["contracts"] if contract["id"] == "api-reads")
    rebuilding = {f"projections.{path.stem}" for path in (ROOT / "projections").glob("rebuild*.py")}
    assert rebuilding <= set(reads["forbidden_modules"])

"""Schemathesis against the API as it is served, over HTTP, signed in, with all of its checks."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from api import reads
from api.routes import ROUTES
from tests.api.house import settings_of
from tests.doors.served import served

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")

LIMIT_SECONDS = 300.0
"""It ends by itself long before."""


async def tried(url: str, folder: Path, *options: str) -> tuple[int, str]:
    """Runs it in a folder, where it keeps what it pleases; exit code and what it said."""
    environment = os.environ | {"STAGEDOOR_TRIED_URL": url, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "160"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
        *("run", f"{url}/openapi.json", *options),
        env=environment,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), LIMIT_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.fixture
async def url(database_url: str, sandbox_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    # Made-up versions are never reached: waiting for each of them would be all that is done.
    monkeypatch.setattr(reads, "MIN_VERSION_SECONDS", 0.02)
    async with served(settings_of(database_url, tmp_path, stripe_api_base=sandbox_url)) as house:
        await house.person()
        yield house.url


async def test_the_bounds_of_every_field_are_kept(url: str, tmp_path: Path) -> None:
    """Every boundary of the document on both sides, every missing and unknown part, every method."""
    code, said = await tried(url, tmp_path, "--phases", "coverage", "--mode", "negative")
    assert code == 0, said
    assert f"Tested: {len(ROUTES) - 1}" in said, said  # all but the document itself


@pytest.mark.long
async def test_nothing_is_found_in_any_operation(url: str, tmp_path: Path) -> None:
    # Texts are made up first and held against their patterns, which look ahead, afterwards: few of a name pass.
    wasteful = ("--suppress-health-check", "filter_too_much")
    options = ("--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--max-time", "35", *wasteful)
    code, said = await tried(url, tmp_path, *options)
    assert code == 0, said
    assert "✅ Fuzzing" in said, said


@pytest.mark.long
async def test_nothing_is_found_in_sequences(url: str, tmp_path: Path) -> None:
    """What one answer names is asked for by the next request: listings, orders, payments, histories."""
    options = ("--phases", "stateful", "--max-examples", "20", "--max-time", "20")
    code, said = await tried(url, tmp_path, *options)
    assert code == 0, said
    assert "✅ Stateful" in said, said

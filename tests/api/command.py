"""A `stagedoor` command beside a test's own event loop."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


async def stagedoor(database_url: str, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Runs it on a database, with its data in a folder; exit code, output, errors."""
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "STAGEDOOR_DATA_DIR": str(folder),
        "PYTHONPATH": str(ROOT),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()

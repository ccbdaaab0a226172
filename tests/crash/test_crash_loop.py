"""Crash runs on whole marketplaces: a minute of faults with a seed that stays, and one with another seed each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

FIXED_SEED = 1


@pytest.mark.long
@pytest.mark.parametrize("seed", [FIXED_SEED, None], ids=["fixed", "random"])
def test_a_minute_of_faults_loses_nothing(seed: int | None) -> None:
    arguments = [] if seed is None else ["--seed", str(seed)]
    done = subprocess.run(
        [sys.executable, "-m", "crash", "--minutes", "1", *arguments],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found" in done.stdout

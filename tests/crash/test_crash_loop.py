"""A crash run on a whole marketplace: a minute of faults with a seed that stays. `make crash` goes on with others."""

from __future__ import annotations

import subprocess
import sys

import pytest

NOT_FOUND_OUT = 2


@pytest.mark.long
def test_a_minute_of_faults_loses_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "crash", "--minutes", "1", "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode == NOT_FOUND_OUT and "linearizability was NOT checked" in done.stdout:
        pytest.skip("nothing was lost; the linearizability checker cannot be built here")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found" in done.stdout

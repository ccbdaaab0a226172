"""Random orders, refunds, payouts and disputes under random kills, with a seed that stays: the money is counted."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.long
def test_the_money_of_random_orders_adds_up() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "crash.money", "--orders", "300", "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=1_200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found" in done.stdout

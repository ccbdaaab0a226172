"""Tying a command to its parent where the kernel does not do it; the Linux way is tested with the supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from cli.embedded import tether
from cli.running import is_alive

ELSEWHERE = f"import runpy, sys\nsys.platform = 'darwin'\nrunpy.run_path({tether.__file__!r}, run_name='__main__')"

COMMAND = """
import os, signal, sys, time
def end(*_):
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""


def words(parent: str, pid_file: Path) -> list[str]:
    leash = [parent, str(int(signal.SIGTERM)), "0", "-"]
    return [sys.executable, "-c", ELSEWHERE, *leash, sys.executable, "-c", COMMAND, str(pid_file)]


def test_signals_are_passed_on_and_the_exit_code_back(tmp_path: Path, eventually) -> None:
    pid_file = tmp_path / "pid"
    with subprocess.Popen(words(str(os.getpid()), pid_file)) as process:
        eventually(lambda: pid_file.exists() and pid_file.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 7


def test_the_command_ends_when_the_parent_is_gone(tmp_path: Path, eventually) -> None:
    pid_file = tmp_path / "pid"
    parent = f"""
        import os, subprocess, time
        words = {words("PARENT", pid_file)!r}
        subprocess.Popen([str(os.getpid()) if word == "PARENT" else word for word in words])
        time.sleep(600)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(parent)]) as process:
        eventually(lambda: pid_file.exists() and pid_file.read_text())
        pid = int(pid_file.read_text())
        assert is_alive(pid)
        process.kill()
    eventually(lambda: not is_alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the tether watches instead")
def test_a_parent_that_is_gone_already_starts_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    leash = [str(gone.pid), str(int(signal.SIGTERM)), "0", "-"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", tether.__file__, *leash, "touch", str(tmp_path / "started")], check=False
    )
    assert done.returncode == 1
    assert not (tmp_path / "started").exists()


AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="processors are not shared among sessions here")
def test_the_niceness_is_the_sessions_where_sessions_share_the_processors() -> None:
    leash = [str(os.getpid()), str(int(signal.SIGTERM)), "7", "-"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", tether.__file__, *leash, "cat", str(AUTOGROUP)],
        check=True, capture_output=True, text=True, start_new_session=True,
    )  # fmt: skip
    assert done.stdout.split()[-1] == str(os.nice(0) + 7)

"""What a crash leaves of the embedded PostgreSQL: processes without a supervisor, and a lock file of a dead one."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from cli.embedded.console import Console, PartFailedError, wait_until
from cli.embedded.postgres_cluster import PORT, Cluster

STAGES = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 15.0), (signal.SIGKILL, 5.0))
"""Signals and how many seconds each has: a fast shutdown, an immediate one, the end. All of them keep the data."""


def end_leftover(cluster: Cluster, console: Console) -> None:
    """Ends every PostgreSQL process of this data folder. Call it only with the data folder's lock held.

    A lock file of a dead process is left alone: PostgreSQL knows it for stale and looks whether its shared memory is
    still in use. Only when the number still belongs to somebody it is removed, because PostgreSQL would refuse to
    start: to another program by now, or to the dead server itself, as long as its parent has not asked for its end (a
    zombie). The check of the shared memory, which goes by the data folder's inode, remains.

    Raises:
        PartFailedError: they did not end.
    """
    for number, limit_seconds in STAGES:
        postmaster, left = running_postmaster(cluster), _processes(cluster)
        if not left:
            break
        console.say(f"ending a PostgreSQL that was left over (process {left[0]}, {number.name})")
        for pid in [postmaster] if postmaster and number != signal.SIGKILL else left:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        with suppress(PartFailedError):
            wait_until(console, "ending it", limit_seconds, lambda: None if _processes(cluster) else True)
    if left := _processes(cluster):
        raise PartFailedError(f"PostgreSQL in {cluster.data} does not end (process {left[0]})")
    for lock in (_postmaster_file(cluster), cluster.sockets / f".s.PGSQL.{PORT}.lock"):
        holder = _recorded_pid(lock)
        if holder is not None and _has_a_process(holder):
            lock.unlink(missing_ok=True)


def running_postmaster(cluster: Cluster) -> int | None:
    """The main process's id if a PostgreSQL runs on this data folder."""
    pid = _recorded_pid(_postmaster_file(cluster))
    return pid if pid is not None and _serves(pid, cluster.data) else None


def _postmaster_file(cluster: Cluster) -> Path:
    return cluster.data / "postmaster.pid"


def _recorded_pid(lock: Path) -> int | None:
    with suppress(OSError, ValueError):
        return int(lock.read_text().split("\n", 1)[0])
    return None


def _has_a_process(pid: int) -> bool:
    """As PostgreSQL sees it; a zombie is a process to it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False  # PostgreSQL, too, takes a process that it may not signal for a stranger
    except OSError:
        return False
    return True


def _processes(cluster: Cluster) -> list[int]:
    """All its processes on Linux, where they can outlive the main one for a moment; the main one elsewhere."""
    if Path("/proc/self/cwd").exists():
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return sorted(pid for pid in pids if _serves(pid, cluster.data))
    postmaster = running_postmaster(cluster)
    return [postmaster] if postmaster else []


def _serves(pid: int, data: Path) -> bool:
    """Whether a process is a PostgreSQL on this data folder, which is its working folder and in its arguments."""
    if not Path("/proc/self/cwd").exists():
        command = ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
        return str(data) in said.stdout
    try:
        program = Path(f"/proc/{pid}/exe").readlink().name
        return program.startswith("postgres") and Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
    except OSError:
        return False

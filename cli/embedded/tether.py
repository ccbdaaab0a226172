"""Runs a command that ends when the process that started it ends, however that ends.

    python -I -S tether.py PARENT_PID SIGNAL NICE USER COMMAND…

SIGNAL is what the command gets when process PARENT_PID is gone, NICE is added to its niceness, USER is a system user to
become (`-` for nobody else). On Linux the kernel sends the signal (PR_SET_PDEATHSIG, prctl(2)) and this program turns
into the command, so that its process id is the command's. Elsewhere it stays as the command's parent and watches.

It is run as a file, without the project's packages, so that it costs milliseconds; hence only the standard library.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG = 1
WATCH_SECONDS = 0.5
MERCY_SECONDS = 10.0
"""How long a command may take to obey the signal where the kernel does not enforce the end."""


def become(user: str) -> None:
    """Gives up root for `user` (its groups too); `-` stays as it is."""
    if user == "-":
        return
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def be_nice(increment: int) -> None:
    """Lets others go first. Where Linux shares processors among sessions first (sched(7), "The autogroup feature"), a
    niceness counts only within one, and this command has a session of its own: then it is the session that is nice."""
    niceness = os.nice(increment)
    with suppress(OSError):  # there are no such groups here
        Path("/proc/self/autogroup").write_text(str(niceness), encoding="ascii")


def tie_to_parent(libc: ctypes.CDLL, parent: int, number: int) -> None:
    """Asks the kernel for signal `number` at the parent's end. It forgets this when the user changes: call it last."""
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before the kernel was asked
        sys.exit(1)


def watch(parent: int, number: int, command: list[str]) -> int:
    """Runs the command as a child until it ends or the parent is gone; returns its exit code."""
    process = subprocess.Popen(command)  # noqa: S603 - the command is the caller's

    def forward(received: int, _frame: FrameType | None) -> None:
        process.send_signal(received)

    for passed_on in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(passed_on, forward)
    while os.getppid() == parent:
        try:
            code = process.wait(WATCH_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return code if code >= 0 else 128 - code
    process.send_signal(number)
    end = time.monotonic() + MERCY_SECONDS
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    return 1


def main() -> int:
    parent, number, nice, user = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    command = sys.argv[5:]
    if nice:
        be_nice(nice)
    if sys.platform != "linux":
        become(user)
        return watch(parent, number, command)
    libc = ctypes.CDLL(None, use_errno=True)  # loaded while this user can still read it
    become(user)
    tie_to_parent(libc, parent, number)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())

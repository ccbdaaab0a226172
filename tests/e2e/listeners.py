"""What a process tree listens on, and who may read its files: as the kernel tells it."""

from __future__ import annotations

import stat
from ipaddress import ip_address
from pathlib import Path

_LISTEN, _BOUND = "0A", "07"
"""States of /proc/net: a TCP socket that listens, a UDP socket that is bound (include/net/tcp_states.h)."""


def tree_of(pid: int) -> set[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has just ended
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting += children.get(one, [])
    return found


def listening_addresses(pids: set[int]) -> set[tuple[str, int]]:
    """Address and port of every TCP and UDP socket through which one of the processes can be reached."""
    sockets = _sockets_of(pids)
    found: set[tuple[str, int]] = set()
    for table, state in (("tcp", _LISTEN), ("tcp6", _LISTEN), ("udp", _BOUND), ("udp6", _BOUND)):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and fields[9] in sockets:
                address, _, port = fields[1].partition(":")
                found.add((_address(address), int(port, 16)))
    return found


def _sockets_of(pids: set[int]) -> set[str]:
    """The inodes of the sockets they hold open."""
    inodes: set[str] = set()
    for pid in pids:
        try:
            descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    return inodes


def _address(text: str) -> str:
    """The kernel writes words of four bytes in the machine's own order; Java listens on IPv4 by way of IPv6."""
    raw = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    address = ip_address(raw)
    return str(getattr(address, "ipv4_mapped", None) or address)


def open_to_others(folder: Path) -> list[str]:
    """The paths below a folder that another user of the machine may read, write or list."""
    found: list[str] = []
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            continue
        if stat.S_ISDIR(mode):
            if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IRGRP | stat.S_IWGRP):
                found.append(f"{path} {stat.filemode(mode)}")
            if mode & (stat.S_IXOTH | stat.S_IXGRP):  # one may pass through it: what is in it has to be closed itself
                waiting += path.iterdir()
        elif mode & 0o077 and path.stat().st_size:
            found.append(f"{path} {stat.filemode(mode)}")
    return sorted(found)

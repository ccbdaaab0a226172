"""Free ports for servers on this machine."""

from __future__ import annotations

import errno
import random
import socket

LOWEST, HIGHEST = 20_000, 32_000
"""Below the ports that systems hand to outgoing connections (from 32768 on Linux, 49152 elsewhere). A port from that
range could be taken while its server restarts, even by a client that reconnects to it and thereby to itself."""

TRIES = 200


def free_port(*besides: int) -> int:
    """A TCP port on loopback that nobody listens on now, and none of those that somebody is going to.

    Raises:
        OSError: none was found in `TRIES` tries.
    """
    for _ in range(TRIES):
        port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - not a secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in besides:
            return port
    raise OSError(f"no free port from {LOWEST} to {HIGHEST} on loopback")


def bind_problem(host: str, port: int) -> str | None:
    """Why a server cannot listen there, in words; None when it can."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        return f"cannot listen on {host}: {error.strerror}"
    for family, kind, protocol, _name, address in addresses:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not count
            try:
                probe.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return f"port {port} on {host} is in use by another program"
                return f"cannot listen on {host}:{port}: {error.strerror}"
    return None


def listens(host: str, port: int, timeout_seconds: float = 0.5) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout_seconds):
            return True
    except OSError:
        return False

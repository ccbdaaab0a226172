"""The open connections of one process: how many there may be, and which of them have had their time."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import Counter
from enum import Enum
from typing import Protocol

from api.addresses import Addresses
from api.limits import network_of

MAX_CONNECTIONS = 10_000
"""Of one process: a crowd at an on-sale, each with a connection of its own. An idle one is some ten kilobytes, and what
one may make us keep is bounded: `RECEIVE_BYTES` and a piece of an answer (`api/pieces.py`)."""

CROWDED_SHARE, CROWDED_IDLE_SECONDS = 0.75, 1.0
"""With so many of the places taken, connections that wait so long for their next request are closed: browsers keep
theirs for minutes, and somebody else wants to order."""

RECEIVE_BYTES = 32 * 1024
"""What the kernel keeps of what we did not read yet, and so the most we get at once; it takes twice as much for it."""

MAX_PER_ADDRESS = 2_000
"""A stadium's network is one address; it only keeps one address from taking all places. Trusted proxies have no such
bound: they bring everybody."""

MAX_TURNED_AWAY = 200
"""Connections beyond, that are told so (503) instead of being cut at once. They end with that answer."""

MAX_UNSENT_BYTES = 128 * 1024 * 1024
"""Of answers whose clients are slow to take them, together and whole. A page may be two megabytes, and thousands may
ask for one and read nothing: who would add to more than this is cut at once."""

OTHER_FILES = 200
"""Open files that are no client's: the database, Stripe, logs, libraries."""

SWEEP_SECONDS = 1.0
"""So much later than its time a connection may be cut. Looking at ten thousand of them takes milliseconds; a timer for
each would cost every request."""


class Place(Enum):
    """What becomes of a connection that has just come."""

    TAKEN = "served"
    TURNED_AWAY = "answered 503, then closed"
    NONE = "closed without a word"


class Connection(Protocol):
    """What is looked at from time to time."""

    def cut_if_late(self, now: float, *, crowded: bool) -> None:
        """Ends it if it has taken longer over something than it may.

        Args:
            now: on the loop's clock, in seconds.
            crowded: others want its place.
        """


class Connections:
    """Deals out places. Used on one event loop."""

    def __init__(self, addresses: Addresses, *, per_address: int | None = None, most: int | None = None) -> None:
        """
        Args:
            per_address: places of one address; None: no bound.
            most: places of all; by default as many as the process may have files open for.
        """
        self._addresses = addresses
        self._per_address = per_address
        self._most = _most_connections() if most is None else most
        self._open: dict[Connection, tuple[Place, str, bool]] = {}
        self._counts: Counter[Place] = Counter()
        self._of_network: Counter[str] = Counter()
        self._unsent_bytes = 0

    def __len__(self) -> int:
        return len(self._open)

    def come(self, connection: Connection, peer: str | None) -> Place:
        """Finds a place for a new connection; it is given back by `go`, whatever place it was."""
        is_proxy = self._addresses.trusts(peer)
        network = "" if self._per_address is None or is_proxy else network_of(peer)
        has_room = self._counts[Place.TAKEN] < self._most
        if has_room and (not network or self._of_network[network] < (self._per_address or 0)):
            place = Place.TAKEN
            if network:
                self._of_network[network] += 1
        elif self._counts[Place.TURNED_AWAY] < MAX_TURNED_AWAY:
            place = Place.TURNED_AWAY
        else:
            place = Place.NONE
        self._counts[place] += 1
        self._open[connection] = (place, network, is_proxy)
        return place

    def go(self, connection: Connection) -> None:
        """A connection has ended."""
        place, network, _ = self._open.pop(connection)
        self._counts[place] -= 1
        if place is Place.TAKEN and network:
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]

    def hold_back(self, size: int) -> bool:
        """Takes note of an answer of so many bytes that its client is slow to take; False: they are too many."""
        self._unsent_bytes += size
        return self._unsent_bytes <= MAX_UNSENT_BYTES

    def let_go(self, size: int) -> None:
        """They are over."""
        self._unsent_bytes -= size

    async def watch(self) -> None:
        """Cuts those that are late, for as long as the process runs."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            crowded = self._counts[Place.TAKEN] >= self._most * CROWDED_SHARE
            for connection, (_, _, is_proxy) in list(self._open.items()):
                # A proxy keeps its connections on purpose, and sends into one at any moment.
                connection.cut_if_late(now, crowded=crowded and not is_proxy)


def bound_receiving(listening: asyncio.Server) -> None:
    """Lets the kernel keep little for a connection; those that are accepted inherit it."""
    for one in listening.sockets:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)


def _most_connections() -> int:
    """As many as there are file descriptors for, once the process has asked for enough of them."""
    wanted = MAX_CONNECTIONS + MAX_TURNED_AWAY + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(soft // 2, soft - MAX_TURNED_AWAY - OTHER_FILES))

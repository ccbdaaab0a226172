"""What is watched live in this process: one look for everybody, however many they are.

What is watched is read twice a second, and each watch is told what is new. What it did not take yet is replaced by
what is newer still, so that it keeps at most one state of each listing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import UUID

import msgspec
import psycopg

from api.limits import network_of
from api.models import LiveListing, Ticket
from api.representations import ticket as shown
from projections.queries import TicketRow

log = logging.getLogger(__name__)

MAX_STREAMS = 2_000
"""Of one process. Each costs a connection, some kilobytes, and a small write when something it shows has changed."""

MAX_STREAMS_PER_ADDRESS = 500
"""A stadium's network is one address; it only keeps one from taking all places."""

MAX_WATCHED = 5_000
"""Different listings that are watched in one process: so many are read twice a second in a few dozen milliseconds."""

LISTINGS_IN_A_LOOK = 500
INTERVAL_SECONDS = 0.5


class Board:
    """What is watched in this process. Used on one event loop."""

    def __init__(self, look: Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, TicketRow]]]) -> None:
        """`look` reads listings by id; it may raise `psycopg.OperationalError`."""
        self._look = look
        self._watches: dict[UUID, set[Watch]] = {}
        self._versions: dict[UUID, int] = {}
        """Of what is watched, as last seen."""
        self.streams: set[Watch] = set()
        self._of_network: Counter[str] = Counter()
        self.is_closed = False

    def is_full_for(self, remote: str | None) -> bool:
        """Whether there is no place for one more stream of this address."""
        if self.is_closed or self._of_network[network_of(remote)] >= MAX_STREAMS_PER_ADDRESS:
            return True
        return len(self.streams) >= MAX_STREAMS or len(self._watches) >= MAX_WATCHED

    @contextmanager
    def watch(self, ids: Iterable[UUID], remote: str | None) -> Iterator[Watch]:
        """What becomes of these listings while the block runs."""
        watch, network = Watch(), network_of(remote)
        self.streams.add(watch)
        self._of_network[network] += 1
        wanted = list(ids)
        for one in wanted:
            self._watches.setdefault(one, set()).add(watch)
            # What changed since the client's own look is told with the next one.
            self._versions.pop(one, None)
        try:
            yield watch
        finally:
            self.streams.discard(watch)
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]
            for one in wanted:
                self._watches[one].discard(watch)
                if not self._watches[one]:
                    del self._watches[one]
                    self._versions.pop(one, None)

    async def run(self) -> None:
        """Looks again and again, until cancelled. A database that is away is said once, and waited for."""
        is_away = False
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            for watch in self.streams:
                watch.look_after()
            try:
                watched = list(self._watches)
                for start in range(0, len(watched), LISTINGS_IN_A_LOOK):
                    self._tell(await self._look(watched[start : start + LISTINGS_IN_A_LOOK]))
                is_away = False
            except psycopg.OperationalError as error:
                if not is_away:
                    log.warning("live listings cannot be read: %s", type(error).__name__)
                is_away = True

    def close(self) -> None:
        """Ends every stream: a process that stops waits for none of them."""
        self.is_closed = True
        for watch in self.streams:
            watch.wake.set()

    def _tell(self, rows: Mapping[UUID, TicketRow]) -> None:
        for ticket_id, row in rows.items():
            if ticket_id in self._watches and self._versions.get(ticket_id) != row.version:
                self._versions[ticket_id] = row.version
                state = state_of(shown(row))
                for watch in self._watches[ticket_id]:
                    watch.tell(ticket_id, state)


class State:
    """A listing at a version, encoded once for all who watch it."""

    __slots__ = ("encoded", "ticket_id", "version")

    def __init__(self, ticket_id: UUID, version: int, encoded: bytes) -> None:
        self.ticket_id = ticket_id
        self.version = version
        self.encoded = encoded


class Watch:
    """What one stream has yet to tell: of each listing the newest state."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self._news: dict[UUID, State] = {}

    def tell(self, ticket_id: UUID, state: State) -> None:
        """It is so now."""
        self._news[ticket_id] = state
        self.wake.set()

    def look_after(self) -> None:
        """Wakes a stream whose client is gone, so that its place is free at once and not with the next heartbeat."""
        if self.transport is not None and self.transport.is_closing():
            self.wake.set()

    def take(self) -> list[State]:
        """What there is to tell."""
        self.wake.clear()
        news, self._news = self._news, {}
        return list(news.values())


def state_of(one: Ticket) -> State:
    """Its state as streams tell it."""
    seen = LiveListing(one.id, one.version, one.status, one.quantity, one.available, one.held, one.sold, one.price)
    return State(one.id, one.version, msgspec.json.encode(seen))

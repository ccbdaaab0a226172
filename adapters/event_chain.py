"""The hash chain of an aggregate's events: each stored event carries a hash over its predecessor's and itself.

Whoever changes a row of the log, or takes one out of the middle, breaks the chain there. What the chain alone cannot
tell, an aggregate's last events taken away, the sections of the log do (`adapters/log_sections.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from struct import Struct
from uuid import UUID

from adapters.event_codec import StoredForm

START = bytes(32)
"""In place of the hash before an aggregate's first event, or of one that another program stored without."""

MAX_HEADS = 20_000
"""Aggregates whose newest hash is kept, about three hundred bytes each: as many as the actors keep in memory."""

_NUMBERS = Struct(">qI")

Head = tuple[int, bytes]
"""A version and the hash of the event that made it. It never changes, so a head that is kept is never wrong."""

_NONE: Head = (0, b"")


def link(previous: bytes, aggregate_id: UUID, version: int, topic: str, state: bytes) -> bytes:
    """The hash of an event: SHA-256 over the hash before it, id, version (8 bytes), topic (with its length, 4 bytes)
    and state."""
    name = topic.encode()
    return sha256(previous + aggregate_id.bytes + _NUMBERS.pack(version, len(name)) + name + state).digest()


class Heads:
    """The newest hashes that are known, the ones unused for longest dropped first."""

    def __init__(self) -> None:
        self._heads: OrderedDict[UUID, Head] = OrderedDict()

    def missing(self, events: Sequence[StoredForm]) -> dict[UUID, int]:
        """The versions whose hash has to be asked for before these events can be chained."""
        firsts: dict[UUID, int] = {}
        for aggregate_id, version, _topic, _state in events:
            firsts.setdefault(aggregate_id, version)
        return {
            aggregate_id: version - 1
            for aggregate_id, version in firsts.items()
            if version > 1 and self._heads.get(aggregate_id, _NONE)[0] != version - 1
        }

    def note(self, aggregate_id: UUID, version: int, chain: bytes | None) -> None:
        """Takes down the hash of an event that is in the log."""
        self._heads.pop(aggregate_id, None)
        self._heads[aggregate_id] = (version, chain or START)

    def chain(self, events: Sequence[StoredForm]) -> list[bytes]:
        """The hashes of events to be appended, none of them `missing`."""
        heads: dict[UUID, Head] = {}
        chained: list[bytes] = []
        for aggregate_id, version, topic, state in events:
            if version == 1:
                previous = START
            else:
                known, previous = heads.get(aggregate_id) or self._heads[aggregate_id]
                assert known == version - 1, "the hash of the event before it"
            made = link(previous, aggregate_id, version, topic, state)
            chained.append(made)
            heads[aggregate_id] = (version, made)
        return chained

    def advance(self, events: Sequence[StoredForm], chained: Sequence[bytes]) -> None:
        """Takes up what was appended."""
        newest = {event.aggregate_id: (event.version, made) for event, made in zip(events, chained, strict=True)}
        for aggregate_id, head in newest.items():
            self.note(aggregate_id, *head)
        while len(self._heads) > MAX_HEADS:
            self._heads.popitem(last=False)

"""A topic in memory: the messages that the relay would put there, to be handed to a worker in any order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from domain.published import PublishedEvent
from streams import wire
from streams.delivery import Delivery, read_message
from streams.log_reader import Entry, Unreadable

PARTITIONS = 3


class Topic:
    """One topic as the relay fills it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.messages: list[Any] = []
        """In the order they were sent."""
        self._last: defaultdict[int, int] = defaultdict(int)
        self._next_offset: defaultdict[int, int] = defaultdict(int)

    def send(self, entries: Iterable[Entry]) -> Topic:
        """Puts the entries of this topic there; others are passed over."""
        for entry in entries:
            if entry.topic == self.name:
                partition = entry.subject.int % PARTITIONS
                headers = wire.headers(entry.position, self._last[partition])
                self.put(wire.value(entry), wire.key(entry), headers, partition)
                self._last[partition] = entry.position
        return self

    def put(self, value: bytes, key: bytes, headers: wire.Headers | None = None, partition: int = 0) -> None:
        """Puts a message there, whoever's it is."""
        offset = self._next_offset[partition]
        self._next_offset[partition] += 1
        self.messages.append(SimpleNamespace(value=value, key=key, headers=headers, partition=partition, offset=offset))

    def deliveries(self, messages: Iterable[Any] | None = None) -> list[Delivery]:
        """The messages as a worker gets them."""
        return [read_message(message, self.name) for message in (self.messages if messages is None else messages)]


def unreadable(event: PublishedEvent) -> Unreadable:
    """An event as a version of the program sees it that cannot read it."""
    return Unreadable(event.topic, event.subject, event.sequence, event.position, "from the future")

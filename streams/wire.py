"""How an event travels on Kafka: key, value and headers.

Two headers say where it stands. `position` is its place in the store's log, `previous` that of the event before it in
the same partition. With them a reader of a partition notices when anything is missing between two events, whatever lost
it (the broker's retention, topics made anew under its feet, a consumer that skipped), and reads it from the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from adapters.cloudevents import CONTENT_TYPE, encode, write
from adapters.event_messages import Message
from domain.aggregate import Cause
from streams.log_reader import Entry, Unreadable

UNREADABLE = "Unreadable"
"""The type of an event that the relay could not read."""

_UNKNOWN = Cause(None, UUID(int=0), UUID(int=0))

_POSITION, _PREVIOUS = "stagedoor-position", "stagedoor-previous"
_CONTENT_TYPE = ("content-type", CONTENT_TYPE.encode())

Headers = Sequence[tuple[str, bytes]]
"""As aiokafka has them."""


def key(entry: Entry) -> bytes:
    """What keeps an aggregate's events in one partition, in order."""
    return str(entry.subject).encode()


def message(entry: Entry) -> Message:
    """What is sent of an entry."""
    return Message(entry.topic, key(entry), value(entry), entry.position)


def value(entry: Entry) -> bytes:
    """The CloudEvent. One that cannot be read is of type `Unreadable`: it takes its place in the sequence, no more."""
    if not isinstance(entry, Unreadable):
        return encode(entry)
    return write(
        UNREADABLE,
        str(entry.subject),
        sequence=entry.sequence,
        position=entry.position,
        time=datetime.now(UTC),
        cause=_UNKNOWN,
        data=_Why(entry.reason),
    )


class _Why(msgspec.Struct):
    """The data of such an event."""

    reason: str


class _Unreadable(msgspec.Struct):
    type: str
    data: _Why


def why_unreadable(raw: bytes) -> str | None:
    """What the relay says of an event that it could not read; None of any other message."""
    try:
        found = msgspec.json.decode(raw, type=_Unreadable)
    except msgspec.MsgspecError:
        return None
    return found.data.reason if found.type == UNREADABLE else None


def headers(position: int, previous: int) -> list[tuple[str, bytes]]:
    """The headers of one event."""
    return [_CONTENT_TYPE, (_POSITION, b"%d" % position), (_PREVIOUS, b"%d" % previous)]


def places(found: Headers | None) -> tuple[int, int] | None:
    """An event's position and that of the one before it; None if the relay did not send it."""
    position = previous = None
    for name, said in found or ():
        if name == _POSITION:
            position = said
        elif name == _PREVIOUS:
            previous = said
    if position is None or previous is None or not (position.isdigit() and previous.isdigit()):
        return None
    return int(position), int(previous)

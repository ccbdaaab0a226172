"""One event as it came to a worker: a message of a topic, or an entry of the store's log where a message is missing."""

from __future__ import annotations

from uuid import UUID

import msgspec
from aiokafka import ConsumerRecord

from adapters.cloudevents import UnreadableEvent, decode
from domain.published import PublishedEvent
from projections.writer import Parked
from streams import wire
from streams.log_reader import Entry, Unreadable


class Delivery(msgspec.Struct, frozen=True):
    """An event, read as far as it can be read."""

    partition: int | None
    """None, as the offset: it was read from the store's log."""
    kafka_offset: int | None
    aggregate_id: UUID | None
    """By its key; None: the key is no id."""
    sequence: int | None
    """None: not even that can be read."""
    position: int | None
    """None: the relay did not send it."""
    previous: int
    """The position of the event before it in the partition; 0 where unknown."""
    raw: bytes
    event: PublishedEvent | None
    """None: it cannot be read."""
    error: str
    """Why not."""

    def parked(self, reason: str) -> Parked:
        """How it is kept aside."""
        return Parked(
            self.partition, self.kafka_offset, self.aggregate_id, self.sequence, self.position, self.raw, reason
        )


def read_message(message: ConsumerRecord, topic: str) -> Delivery:
    """Reads a record of a topic; never raises."""
    raw = bytes(message.value or b"")
    position, previous = wire.places(message.headers) or (None, 0)
    event, aggregate_id, error = _read(raw, message.key, topic)
    sequence = _sequence(raw) if event is None else event.sequence
    return Delivery(message.partition, message.offset, aggregate_id, sequence, position, previous, raw, event, error)


def read_entry(entry: Entry) -> Delivery:
    """An entry of the log in the form of a message."""
    event, error = (None, f"cannot be read: {entry.reason}") if isinstance(entry, Unreadable) else (entry, "")
    return Delivery(
        partition=None,
        kafka_offset=None,
        aggregate_id=entry.subject,
        sequence=entry.sequence,
        position=entry.position,
        previous=0,
        raw=wire.value(entry),
        event=event,
        error=error,
    )


def _read(raw: bytes, key: bytes | None, topic: str) -> tuple[PublishedEvent | None, UUID | None, str]:
    """The event, the aggregate by the key, and why there is no event."""
    try:
        event = decode(raw)
    except UnreadableEvent as unreadable:
        return None, _aggregate_id(key), f"cannot be read: {wire.why_unreadable(raw) or unreadable}"
    if event.topic != topic:
        return None, _aggregate_id(key), f"{event.type} does not belong to {topic}"
    if not _is_named(event.subject, key) and event.subject != (named := _aggregate_id(key)):
        return None, named, "the key is not the subject"
    return event, event.subject, ""


def _is_named(subject: UUID, key: bytes | None) -> bool:
    """Whether the key is this id as everybody writes it, for a fraction of what reading it would cost."""
    return key is not None and key.replace(b"-", b"") == subject.int.to_bytes(16, "big").hex().encode()


def _aggregate_id(key: bytes | None) -> UUID | None:
    try:
        return UUID((key or b"").decode("ascii"))
    except ValueError:
        return None


class _Numbered(msgspec.Struct):
    sequence: int | None = None


def _sequence(raw: bytes) -> int | None:
    try:
        return msgspec.json.decode(raw, type=_Numbered).sequence
    except msgspec.MsgspecError:
        return None

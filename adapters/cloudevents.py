"""Published events on the wire: CloudEvents 1.0 in structured mode (JSON), with these extension attributes.

`sequence` (the aggregate's version, counting without gaps), `position` (the place in the store's log), `actor`,
`correlationid`, `causationid`, and `traceparent` of the CloudEvents distributed tracing extension.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.aggregate import Cause
from domain.published import DATA_CLASSES, PublishedEvent

CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
SOURCE = "/stagedoor"


class UnreadableEvent(Exception):
    """A message that is not one of our CloudEvents, or of a type or version not known here."""


class CloudEvent(msgspec.Struct, omit_defaults=True):
    """The envelope, attribute for attribute as on the wire."""

    specversion: str
    id: str
    """Aggregate id and version: the same event has the same id however often it is sent."""
    source: str
    type: str
    subject: UUID
    time: datetime
    datacontenttype: str
    dataschema: str
    sequence: int
    position: int
    causationid: UUID
    correlationid: UUID
    data: msgspec.Raw
    actor: UUID | None = None
    traceparent: str | None = None


_encoder = msgspec.json.Encoder()
_envelope = msgspec.json.Decoder(CloudEvent)
_data: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(data_class) for name, (_, data_class) in DATA_CLASSES.items()
}


def key(event: PublishedEvent) -> bytes:
    """What keeps an aggregate's events in one partition, in order."""
    return str(event.subject).encode()


def encode(event: PublishedEvent) -> bytes:
    """The whole CloudEvent as JSON."""
    return _encoder.encode(
        CloudEvent(
            specversion="1.0",
            id=f"{event.subject}/{event.sequence}",
            source=SOURCE,
            type=event.type,
            subject=event.subject,
            time=event.time,
            datacontenttype="application/json",
            dataschema=f"urn:stagedoor:{event.type}:1",
            sequence=event.sequence,
            position=event.position,
            causationid=event.cause.command_id,
            correlationid=event.cause.correlation_id,
            data=msgspec.Raw(_encoder.encode(event.data)),
            actor=event.cause.actor,
            traceparent=event.cause.traceparent,
        )
    )


def decode(raw: bytes) -> PublishedEvent:
    """The event of a message.

    Raises:
        UnreadableEvent: see there.
    """
    try:
        envelope = _envelope.decode(raw)
        if envelope.type not in DATA_CLASSES:
            raise UnreadableEvent(f"unknown type {envelope.type}")
        topic, _ = DATA_CLASSES[envelope.type]
        if envelope.dataschema != f"urn:stagedoor:{envelope.type}:1":
            raise UnreadableEvent(f"unknown schema {envelope.dataschema}")
        data = _data[envelope.type].decode(envelope.data)
    except msgspec.MsgspecError as error:
        raise UnreadableEvent(f"{type(error).__name__}: {error}") from error
    return PublishedEvent(
        topic=topic,
        type=envelope.type,
        subject=envelope.subject,
        sequence=envelope.sequence,
        position=envelope.position,
        time=envelope.time,
        cause=Cause(envelope.actor, envelope.causationid, envelope.correlationid, envelope.traceparent),
        data=data,
    )

"""Published events on the wire: CloudEvents 1.0 in structured mode (JSON), with these extension attributes.

`sequence` (the aggregate's version, counting without gaps), `position` (the place in the store's log), `actor`,
`correlationid`, `causationid`, and `traceparent` of the CloudEvents distributed tracing extension.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Union
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


_encode = msgspec.json.Encoder().encode
_envelope = msgspec.json.Decoder(CloudEvent)
_data: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(data_class) for name, (_, data_class) in DATA_CLASSES.items()
}


def _with_data(name: str, data_class: type[Any]) -> type[Any]:
    """`CloudEvent` of one type, with its data read too."""
    fields = [
        (field.name, data_class if field.name == "data" else field.type, field.default)
        for field in msgspec.structs.fields(CloudEvent)
        if field.name != "type"
    ]
    return msgspec.defstruct(
        name,
        [(name, kind) if default is msgspec.NODEFAULT else (name, kind, default) for name, kind, default in fields],
        tag_field="type",
        tag=name,
        gc=False,
    )


_kinds: dict[type[Any], tuple[str, str, str]] = {
    _with_data(name, data_class): (topic, name, f"urn:stagedoor:{name}:1")
    for name, (topic, data_class) in DATA_CLASSES.items()
}
_decode = msgspec.json.Decoder(Union[tuple(_kinds)]).decode  # noqa: UP007 - of types that are made just now


def key(event: PublishedEvent) -> bytes:
    """What keeps an aggregate's events in one partition, in order."""
    return str(event.subject).encode()


def encode(event: PublishedEvent) -> bytes:
    """The whole CloudEvent as JSON."""
    _, kind, subject, sequence, position, time, cause, data = event
    return write(kind, str(subject), sequence=sequence, position=position, time=time, cause=cause, data=data)


def write(kind: str, subject: str, *, sequence: int, position: int, time: datetime, cause: Cause, data: Any) -> bytes:
    """The CloudEvent of these attributes as JSON, encoded in one go with its data, of whatever class."""
    make: Any = CloudEvent  # its types are for reading
    return _encode(
        make(
            "1.0",
            f"{subject}/{sequence}",
            SOURCE,
            kind,
            subject,
            time,
            "application/json",
            f"urn:stagedoor:{kind}:1",
            sequence,
            position,
            cause.command_id,
            cause.correlation_id,
            data,
            cause.actor,
            cause.traceparent,
        )
    )


def decode(raw: bytes) -> PublishedEvent:
    """The event of a message.

    Raises:
        UnreadableEvent: see there.
    """
    try:
        read: Any = _decode(raw)
    except msgspec.MsgspecError:
        return _decode_in_steps(raw)
    topic, name, schema = _kinds[type(read)]
    if read.dataschema != schema:
        return _decode_in_steps(raw)
    cause = Cause(read.actor, read.causationid, read.correlationid, read.traceparent)
    return PublishedEvent(topic, name, read.subject, read.sequence, read.position, read.time, cause, read.data)


def _decode_in_steps(raw: bytes) -> PublishedEvent:
    """The same, and what is wrong with a message: first the envelope, then what it says of the data."""
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
    cause = Cause(envelope.actor, envelope.causationid, envelope.correlationid, envelope.traceparent)
    return PublishedEvent(
        topic, envelope.type, envelope.subject, envelope.sequence, envelope.position, envelope.time, cause, data
    )

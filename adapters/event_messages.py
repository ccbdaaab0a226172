"""Stored events on their way to Kafka: from one JSON to the other, without the domain's objects between them.

All that is published of most events stands in their stored form, under the same names. So it is read into msgspec's own
structures, made after the domain's classes: with the same types, so that what cannot be read as an event cannot be read
here either, and for a third of what the classes cost. What is more than copying goes the long way: an event of an
earlier version, and the few kinds that are published in other words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache, reduce
from operator import attrgetter, or_
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from eventsourcing.persistence import MapperDeserialisationError

from adapters import cloudevents
from adapters.event_codec import decode_event, present_mark
from domain.aggregate import Event
from domain.published import PUBLICATIONS, STORED_EVENTS, Publication, PublishedEvent, publish

_encode = msgspec.json.Encoder().encode


class Message(NamedTuple):
    """An event as Kafka gets it."""

    topic: str
    key: bytes
    value: bytes
    position: int
    """In the store's log."""


def message(name: str, state: bytes, position: int) -> Message:
    """The message of a stored event.

    Args:
        name: the stored one.
        state: the stored form.
        position: its place in the log.

    Raises:
        MapperDeserialisationError: it cannot be read.
    """
    copying = _COPYING.get(name)
    if copying is None or not state or not state.startswith(copying.mark):
        return message_of(publish(decode_event(name, state), position))
    topic, kind, _, read, copy = copying
    try:
        event = read(state)
    except Exception as error:
        raise MapperDeserialisationError(f"cannot read a stored {name}: {error}") from error
    key = _encode(event.originator_id)[1:-1]
    value = cloudevents.write(
        kind,
        key.decode(),
        sequence=event.originator_version,
        position=position,
        time=event.timestamp,
        cause=event.cause,
        data=copy(event),
    )
    return Message(topic, key, value, position)


def message_of(event: PublishedEvent) -> Message:
    """The message of an event that is there already."""
    return Message(event.topic, cloudevents.key(event), cloudevents.encode(event), event.position)


class _Copying(NamedTuple):
    """How the present version of a kind of event gets from one JSON to the other."""

    topic: str
    kind: str
    mark: bytes
    """What its stored form begins with."""
    read: Callable[[bytes], Any]
    copy: Callable[[Any], Any]
    """Makes the data that are published."""


def _copying(event_class: type[Event], publication: Publication) -> _Copying:
    read = msgspec.json.Decoder(_structure(event_class)).decode
    copy = _copy(publication.data_class)
    return _Copying(publication.topic, publication.name, present_mark(event_class.class_version), read, copy)


def _copy(data_class: type) -> Callable[[Any], Any]:
    names = [field.name for field in dataclasses.fields(data_class)]
    make: Any = msgspec.defstruct(data_class.__name__, names, gc=False)
    if not names:
        nothing = make()
        return lambda _event: nothing
    values = attrgetter(*names)
    if len(names) == 1:
        return lambda event: make(values(event))
    return lambda event: make(*values(event))


@cache
def _structure(data_class: type) -> type[msgspec.Struct]:
    """A structure with the fields of a dataclass; those in it are structures too."""
    types = get_type_hints(data_class)
    fields: list[Any] = []
    for field in dataclasses.fields(data_class):
        default = [] if field.default is dataclasses.MISSING else [field.default]
        assert field.default_factory is dataclasses.MISSING
        fields.append((field.name, _structured(types[field.name]), *default))
    return msgspec.defstruct(data_class.__name__, fields, kw_only=True, gc=False)


def _structured(kind: Any) -> Any:
    """The type of a field, with structures in the place of dataclasses."""
    if dataclasses.is_dataclass(kind):
        return _structure(kind)  # type: ignore[arg-type]  # a class, as all that stands in an annotation
    if isinstance(kind, TypeVar):
        return UUID  # of the library's events: what identifies an aggregate
    parts = tuple(map(_structured, get_args(kind)))
    if not parts:
        return kind
    origin = get_origin(kind)
    return reduce(or_, parts) if origin in (Union, UnionType) else origin[parts]


_COPYING = {
    event_class.TOPIC: _copying(event_class, PUBLICATIONS[event_class])
    for event_class in STORED_EVENTS
    if PUBLICATIONS[event_class].copied
}

"""What goes to Kafka is the same byte for byte, whichever way it takes; and what cannot be read is noticed on each."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eventsourcing.persistence import MapperDeserialisationError

from adapters.cloudevents import SOURCE, CloudEvent
from adapters.event_codec import EventMapper, decode_event
from adapters.event_messages import Message, message, message_of
from domain.aggregate import Event
from domain.published import PublishedEvent, publish
from tests.projections.stories import Story

SAMPLES = sorted((Path(__file__).parents[1] / "stored_events").glob("*.json"))
WRONG: tuple[Any, ...] = (None, True, 3, -1, 0.5, "x", "2026-06-01T12:00:00", [], ["x"], [{}], {}, {"amount": 1})


def envelope(event: PublishedEvent) -> bytes:
    """The CloudEvent with its data as a part that is JSON already."""
    return msgspec.json.encode(
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
            data=msgspec.Raw(msgspec.json.encode(event.data)),
            actor=event.cause.actor,
            traceparent=event.cause.traceparent,
        )
    )


def assert_is_that_of(sent: Message, event: PublishedEvent) -> None:
    assert sent == Message(event.topic, str(event.subject).encode(), envelope(event), event.position)
    assert sent == message_of(event)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_sent_as_the_event_it_is(sample: Path) -> None:
    name = sample.stem.rpartition(".v")[0]
    event = decode_event(name, sample.read_bytes())
    published = publish(event, 7)
    for state in (sample.read_bytes(), EventMapper().to_stored_event(event).state):
        assert_is_that_of(message(name, state, 7), published)


def test_so_is_everything_that_happens_in_a_story() -> None:
    for position, event in enumerate(Story(31, listings=6).tell(1_500).events, 1):
        stored = EventMapper().to_stored_event(event)
        assert_is_that_of(message(stored.topic, stored.state, position), publish(event, position))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_what_is_not_read_as_an_event_is_not_sent_as_one(sample: Path) -> None:
    name = sample.stem.rpartition(".v")[0]
    state = EventMapper().to_stored_event(decode_event(name, sample.read_bytes())).state
    refused = 0
    for damaged in (
        b"",
        b"{}",
        state[:-1],
        state + b"x",
        *map(msgspec.json.encode, _damaged(msgspec.json.decode(state))),
    ):
        expected, why = _read(name, damaged)
        if expected is None:
            refused += 1
            with pytest.raises(MapperDeserialisationError) as raised:
                message(name, damaged, 7)
            assert str(raised.value) == why
        else:
            assert_is_that_of(message(name, damaged, 7), publish(expected, 7))
    assert refused > 20


def test_a_name_that_is_not_known_is_not_sent() -> None:
    with pytest.raises(MapperDeserialisationError):
        message("stagedoor.Order.FromTheFuture", b"{}", 7)


def _read(name: str, state: bytes) -> tuple[Event | None, str]:
    """The event, or why it cannot be read."""
    try:
        return decode_event(name, state), ""
    except MapperDeserialisationError as error:
        return None, str(error)


def _damaged(state: Any) -> Iterator[Any]:
    """The event with one thing in it missing, of another kind, or too much."""
    for path in _paths(state):
        for wrong in WRONG:
            yield _changed(state, path, wrong)
        yield _changed(state, path)
    yield {**state, "more": 1}


def _paths(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for place in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield (*at, place)
        yield from _paths(tree[place], (*at, place))


def _changed(state: Any, path: tuple[Any, ...], *value: Any) -> Any:
    changed = tree = deepcopy(state)
    for place in path[:-1]:
        tree = tree[place]
    if value:
        tree[path[-1]] = value[0]
    else:
        del tree[path[-1]]
    return changed

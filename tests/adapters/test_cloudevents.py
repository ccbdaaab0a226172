"""Reading events from the wire: in one step what is ours, step by step what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import cloudevents
from adapters.cloudevents import UnreadableEvent, decode, encode
from tests.projections.stories import Story


def changed(**attributes: Any) -> bytes:
    """An event's message with other attributes; `None` leaves one out."""
    event = json.loads(encode(Story(1).published()[0]))
    return json.dumps({name: value for name, value in {**event, **attributes}.items() if value is not None}).encode()


def test_every_event_comes_back_and_needs_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    events = Story(7).tell(1_500).published()
    messages = [encode(event) for event in events]
    assert [cloudevents._decode_in_steps(message) for message in messages] == events
    monkeypatch.delattr(cloudevents, "_decode_in_steps")
    assert [decode(message) for message in messages] == events


def test_attributes_that_are_not_known_are_passed_over() -> None:
    assert decode(changed(later="x")) == decode(changed())


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "DecodeError: Input data was truncated"),
        (b"\xff", "DecodeError: JSON is malformed"),
        (b"[]", "ValidationError: Expected `object`, got `array`"),
        (changed(type=None), "ValidationError: Object missing required field `type`"),
        (changed(specversion=None), "ValidationError: Object missing required field `specversion`"),
        (changed(type="FromTheFuture"), "unknown type FromTheFuture"),
        (changed(type=7), "ValidationError: Expected `str`, got `int` - at `$.type`"),
        (changed(dataschema="urn:stagedoor:UserCreated:2"), "unknown schema urn:stagedoor:UserCreated:2"),
        (changed(subject="nobody"), "ValidationError: Invalid UUID - at `$.subject`"),
        (changed(data=[]), "ValidationError: Expected `object`, got `array`"),
        (
            changed(type="TicketSold", dataschema="urn:stagedoor:TicketSold:1", data={"order_id": 1}),
            "ValidationError: Expected `uuid`, got `int` - at `$.order_id`",
        ),
    ],
)
def test_what_cannot_be_read_says_why(message: bytes, why: str) -> None:
    with pytest.raises(UnreadableEvent) as raised:
        decode(message)
    assert str(raised.value).startswith(why)

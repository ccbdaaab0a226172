"""A history as JSON lines and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from cli.audit import states
from cli.audit.steps import Step
from cli.audit.table import Column, lines, moment, printable
from domain.published import PublishedEvent

COLUMNS = (Column("position", right=True), Column("sequence", right=True), Column("time"), Column("event"), Column(""))

_IN_STATE = frozenset({"available", "held", "sold"})
"""Counts that ticket events carry: the state says them."""


class AuditedEvent(msgspec.Struct):
    """One line of JSON."""

    position: int
    sequence: int
    time: datetime
    type: str
    actor: UUID | None
    """The account that asked for it; None for the house itself."""
    causation_id: UUID
    correlation_id: UUID
    data: Any
    """The payload that is published."""
    state_after: Any
    """See `states.for_programs`."""


def json_lines(steps: Iterable[Step]) -> Iterator[str]:
    """An object an event, oldest first."""
    encode = msgspec.json.Encoder().encode
    for step in steps:
        event = step.event
        yield encode(
            AuditedEvent(
                event.position,
                event.sequence,
                event.time,
                event.type,
                event.cause.actor,
                event.cause.command_id,
                event.cause.correlation_id,
                event.data,
                states.for_programs(step.state),
            )
        ).decode()


def table(steps: Iterable[Step]) -> Iterator[str]:
    """Several lines an event: what it says, by whom and why, and the state after it; at the end the sum."""
    count, state = 0, None

    def rows() -> Iterator[tuple[str, ...]]:
        nonlocal count, state
        for step in steps:
            count, state = count + 1, step.state
            yield from _rows(step)

    yield from lines(COLUMNS, rows())
    assert state is not None, "an aggregate has a first event"
    yield ""
    yield f"{count} event{'' if count == 1 else 's'}; the state after: {states.for_people(state)}"


def _rows(step: Step) -> Iterator[tuple[str, ...]]:
    event = step.event
    place = (str(event.position), str(event.sequence), moment(event.time))
    for label, value in [(event.type, ""), *_facts(event), *_causes(event), ("  state", states.for_people(step.state))]:
        yield (*place, label, value)
        place = ("", "", "")


def _causes(event: PublishedEvent) -> list[tuple[str, str]]:
    cause = event.cause
    return [
        ("  actor", "the house" if cause.actor is None else str(cause.actor)),
        ("  causation", str(cause.command_id)),
        ("  correlation", str(cause.correlation_id)),
    ]


def _facts(event: PublishedEvent) -> Iterator[tuple[str, str]]:
    for name, value in msgspec.to_builtins(event.data).items():
        if name not in _IN_STATE:
            yield from _flat(name, value)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            pass
        case dict():
            for key, one in value.items():
                yield from _flat(f"{name}.{key}", one)
        case list() | tuple():
            for place, one in enumerate(value):
                yield from _flat(f"{name}.{place}", one)
        case _:
            yield f"  {name}", printable(value if isinstance(value, str) else msgspec.json.encode(value).decode())

"""What every aggregate and every stored event has in common."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, TypeVar, dataclass_transform
from uuid import UUID

from eventsourcing.domain import AggregateEvent
from eventsourcing.utils import register_topic

SNAPSHOT_INTERVAL = 1_000
"""Events that are read in a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Who and what made an event happen; it is stored with the event and published with it."""

    actor: UUID | None
    """The account that asked for it; None for the house itself (deadlines, Stripe's word)."""
    command_id: UUID
    """The one command that decided the event: the causation id."""
    correlation_id: UUID
    """Shared by everything that came of one request."""
    traceparent: str | None = None
    """W3C trace context of the request, if it had one."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """When and why a decision is made: read at the edge, handed to aggregates as a value."""

    at: datetime
    cause: Cause


@dataclass(frozen=True)
class Event(AggregateEvent):
    """A decision of an aggregate, as it is stored: for ever, under the name in `TOPIC`.

    A change of its fields takes a new `class_version` and an upcaster (`upcast_v1_v2`), and a stored sample of the
    old form under `tests/stored_events`.
    """

    TOPIC: ClassVar[str]
    class_version: ClassVar[int] = 1
    cause: Cause

    def mutate(self, aggregate: Any) -> Any:
        """Applies itself to its aggregate.

        Raises:
            OriginatorIDError, OriginatorVersionError: it is another aggregate's event, or not the next one.
        """
        return super().mutate(aggregate)


@dataclass(kw_only=True, eq=False)
class Aggregate:
    """One actor: an identity, a version, a state that only its own events change.

    A subclass is a dataclass whose fields are its whole state, so that a snapshot is the object itself. It follows the
    aggregate protocols of `eventsourcing` (`MutableAggregateProtocol`, `CollectEventsProtocol`) rather than deriving
    from its `Aggregate`, whose event classes are built by a metaclass that static typing cannot see.
    """

    id: UUID
    version: int
    """Counts the aggregate's events from 1, without gaps."""
    created_on: datetime
    modified_on: datetime
    """Never runs backwards, whatever the clock does."""

    def __post_init__(self) -> None:
        self.pending_events: list[Event] = []
        self.snapshot_version = 0
        """The version of the newest snapshot known of."""

    def snapshot_interval(self) -> int:
        """Events from one snapshot to the next: bounds what has to be read to load the aggregate."""
        return SNAPSHOT_INTERVAL

    def refers_to(self) -> Collection[UUID]:
        """Other aggregates that most commands to this one look at."""
        return ()

    def trigger(self, event_class: type[Event], stamp: Stamp, **fields: Any) -> None:
        """Decides an event: applies it to this state and keeps it until it is collected for the store."""
        event = event_class(
            originator_id=self.id,
            originator_version=self.version + 1,
            timestamp=max(stamp.at, self.modified_on),
            cause=stamp.cause,
            **fields,
        )
        event.mutate(self)
        self.pending_events.append(event)

    def collect_events(self) -> list[Event]:
        """Hands over the events decided since the last call, oldest first."""
        collected, self.pending_events = self.pending_events, []
        return collected


TAggregate = TypeVar("TAggregate", bound=Aggregate)


@dataclass(frozen=True)
class CreatedEvent(Event):
    """The first event of an aggregate: it makes the object."""

    def mutate(self, aggregate: Any) -> Any:
        """Makes the aggregate; there must not be one yet."""
        assert aggregate is None, "an aggregate is created once"
        return self.create()

    def create(self) -> Aggregate:
        """Makes the aggregate as it is right after this event."""
        raise NotImplementedError

    def base_fields(self) -> dict[str, Any]:
        """The fields every aggregate starts with."""
        return {
            "id": self.originator_id,
            "version": self.originator_version,
            "created_on": self.timestamp,
            "modified_on": self.timestamp,
        }


def begin(event: CreatedEvent) -> Any:
    """Makes a new aggregate out of its first event and keeps that event as pending."""
    aggregate = event.mutate(None)
    aggregate.pending_events.append(event)
    return aggregate


EventClass = TypeVar("EventClass", bound=type[Event])


@dataclass_transform(frozen_default=True, kw_only_default=True)
def pinned(topic: str) -> Callable[[EventClass], EventClass]:
    """Class decorator: stores the event under this name, whatever its class or module will be called one day."""

    def pin(event_class: EventClass) -> EventClass:
        event_class.TOPIC = topic
        register_topic(topic, event_class)
        return event_class

    return pin

"""One aggregate's events, oldest first, each with the state after it.

Read by a server-side cursor, so that memory holds one state and some rows, however long the history is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from adapters.event_codec import decode_event
from cli.audit.errors import DamagedLogError, NotFoundError
from cli.audit.table import moment
from domain.aggregate import Event
from domain.order import Order
from domain.published import PublishedEvent, publish
from domain.ticket import Ticket
from domain.user import User

FETCH = 1_000
"""Rows fetched at a time; some hundred kilobytes."""

Audited = Ticket | Order | User
Kind = type[Ticket] | type[Order] | type[User]

KINDS: tuple[Kind, ...] = (Ticket, Order, User)

_HISTORY = (
    "SELECT topic, state, notification_id FROM stored_events WHERE originator_id = %s ORDER BY originator_version"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One event and what it led to."""

    event: PublishedEvent
    state: Any
    """The aggregate (`Audited`) right after the event; the next step changes this very object."""


def name_of(kind: Kind) -> str:
    """`ticket`, `order` or `user`."""
    return kind.__name__.lower()


def read_steps(
    connection: psycopg.Connection[Any], kind: Kind, aggregate_id: UUID, until: datetime | None
) -> Iterator[Step]:
    """The steps up to a moment (inclusive), or all of them.

    Raises:
        NotFoundError: there is no such aggregate of this kind, or there was none yet.
        DamagedLogError: see there.
    """
    aggregate: Any = None
    with connection.cursor(name="audit_steps") as cursor:
        cursor.itersize = FETCH
        for stored_name, state, position in cursor.execute(_HISTORY, (aggregate_id,)):
            event = read_event(stored_name, state, position)
            if aggregate is None:
                _check_kind(event, kind, aggregate_id)
            if until is not None and event.timestamp > until:
                # An aggregate's times never run backwards: nothing behind it is older.
                break
            try:
                aggregate = event.mutate(aggregate)
            except Exception as error:
                raise DamagedLogError(position, stored_name, error) from error
            yield Step(publish(event, position), aggregate)
        else:
            if aggregate is None:
                raise NotFoundError(f"there is no {name_of(kind)} {aggregate_id}")
    if aggregate is None and until is not None:
        raise NotFoundError(
            f"there was no {name_of(kind)} {aggregate_id} at {moment(until)}: it was made at {moment(event.timestamp)}"
        )


def require_first_event(connection: psycopg.Connection[Any], kind: Kind, aggregate_id: UUID) -> None:
    """Raises `NotFoundError` when there is no such aggregate of this kind."""
    row = connection.execute(_HISTORY + " LIMIT 1", (aggregate_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no {name_of(kind)} {aggregate_id}")
    _check_kind(read_event(*row), kind, aggregate_id)


def read_event(stored_name: str, state: bytes, position: int) -> Event:
    """The event of a row of the log. Raises `DamagedLogError`."""
    try:
        return decode_event(stored_name, state)
    except Exception as error:
        raise DamagedLogError(position, stored_name, error) from error


def _check_kind(first: Event, kind: Kind, aggregate_id: UUID) -> None:
    for other in KINDS:
        if other is not kind and isinstance(first, other.Created):
            article = "an" if other is Order else "a"
            raise NotFoundError(f"there is no {name_of(kind)} {aggregate_id}: that is {article} {name_of(other)}")

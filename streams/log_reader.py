"""The store's log for streams: an event that this version cannot read does not hide the others.

Such an event is stored by a later version of the program, or damaged. It is carried along as `Unreadable`, so that
sequences keep counting without gaps for everybody; read models park its aggregate, and a rebuild by a version that can
read it mends them.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from eventsourcing.persistence import MapperDeserialisationError
from psycopg_pool import AsyncConnectionPool

from adapters.event_codec import decode_event
from adapters.event_log import EventLog
from domain.published import ORDERS, TICKETS, USERS, PublishedEvent, publish

_TOPIC_OF_KIND = {"Ticket": TICKETS, "Order": ORDERS, "User": USERS}
_ROWS = (
    "SELECT e.originator_id, e.originator_version, e.notification_id, e.topic, e.state, f.topic"
    " FROM stored_events AS e LEFT JOIN stored_events AS f"
    " ON f.originator_id = e.originator_id AND f.originator_version = 1"
    " WHERE e.notification_id > %s ORDER BY e.notification_id LIMIT %s"
)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A stored event that cannot be read here, and why."""

    topic: str
    """Where it belongs, by the kind of its aggregate."""
    subject: UUID
    sequence: int
    position: int
    reason: str


Entry = PublishedEvent | Unreadable


class LogReader:
    """Reads the log through a pool. Every method may raise `psycopg.OperationalError`."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self._log = EventLog(pool)

    async def after(self, position: int, *, limit: int) -> list[Entry]:
        """The log in order, from behind a position."""
        try:
            return [*await self._log.after(position, limit=limit)]
        except MapperDeserialisationError:
            return await self._one_by_one(position, limit)

    async def _one_by_one(self, position: int, limit: int) -> list[Entry]:
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(_ROWS, (position, limit), binary=True)).fetchall()
        entries: list[Entry] = []
        for aggregate_id, version, at, name, state, first_name in rows:
            try:
                entries.append(publish(decode_event(name, state), at))
            except MapperDeserialisationError as error:
                topic = _topic(name) or _topic(first_name or "") or TICKETS
                entries.append(Unreadable(topic, aggregate_id, version, at, str(error)))
        return entries


def _topic(stored_name: str) -> str | None:
    """`stagedoor.Order.Whatever` belongs to orders."""
    parts = stored_name.split(".")
    return _TOPIC_OF_KIND.get(parts[1]) if len(parts) > 1 else None

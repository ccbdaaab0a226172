"""The store's log as the relay sends it: messages, one for every event, whether this version can read it or not."""

from __future__ import annotations

from eventsourcing.persistence import MapperDeserialisationError
from psycopg_pool import AsyncConnectionPool

from adapters.event_log import EventLog
from adapters.event_messages import Message
from streams import wire
from streams.log_reader import LogReader


class Outgoing:
    """Reads the log through a pool."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._log = EventLog(pool)
        self._reader = LogReader(pool)

    async def after(self, position: int, *, limit: int) -> list[Message]:
        """The log in order, from behind a position.

        Raises:
            psycopg.OperationalError: the database is away.
        """
        try:
            return await self._log.messages(position, limit=limit)
        except MapperDeserialisationError:
            return [wire.message(entry) for entry in await self._reader.after(position, limit=limit)]

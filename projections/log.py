"""What read models need of the store's log; `adapters.event_log.EventLog` provides it."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from domain.published import PublishedEvent


class Log(Protocol):
    """Every method may raise `psycopg.OperationalError`, and what the store raises for an event it cannot read."""

    async def history(self, aggregate_id: UUID, *, after_version: int = 0, limit: int = 100) -> list[PublishedEvent]:
        """One aggregate's events, oldest first."""

    async def after(self, position: int, *, limit: int) -> list[PublishedEvent]:
        """The log in order, from behind a position."""

    async def end(self) -> int:
        """The position of the last event; 0 for an empty log."""

"""How far the relay and the read models are behind the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from adapters.event_log import EventLog
from projections.queries import Position, Queries


@dataclass(frozen=True, slots=True)
class Lag:
    """How far one reader of the log is behind its end."""

    name: str
    """`relay`, or a read model's."""
    position: int
    events: int
    """Not more than so many: positions have gaps."""
    seconds: float
    """The age of the oldest event it has not seen; 0 when it has seen all."""


async def read_lags(queries: Queries, log: EventLog) -> tuple[int, list[Lag]]:
    """The log's end, and everybody's lag. Raises `psycopg.OperationalError`."""
    end = await log.end()
    return end, [await _lag(position, end, log) for position in await queries.positions()]


async def _lag(position: Position, end: int, log: EventLog) -> Lag:
    if position.position >= end:
        return Lag(position.name, position.position, 0, 0.0)
    unseen = await log.after(position.position, limit=1)
    seconds = max(0.0, (datetime.now(UTC) - unseen[0].time).total_seconds()) if unseen else 0.0
    return Lag(position.name, position.position, end - position.position, round(seconds, 3))

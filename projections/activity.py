"""How much is going on right now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg_pool import AsyncConnectionPool

WINDOW_SECONDS = 10
"""Orders are counted over so long."""

# An order's id begins with the time it was made at (UUIDv7), so that those of the last seconds lie at the index's end.
_ACTIVITY = (
    "SELECT (SELECT count(*) FROM buyer_orders WHERE id >= %s AND id < %s),"
    " (SELECT count(*) FROM buyer_orders WHERE status IN ('created', 'awaiting_payment'))"
)


@dataclass(frozen=True, slots=True)
class Activity:
    """As the read model has it."""

    orders_per_second: float
    """Over the last whole seconds."""
    open_orders: int
    """Whose tickets are held until they are paid, or their time is over."""


class ActivityQueries:
    """Reads through a pool. May raise `psycopg.OperationalError` (also as `psycopg_pool.PoolTimeout`)."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def until(self, seconds: Sequence[int]) -> Mapping[int, Activity]:
        """What is going on, with the orders made before each of these seconds of the Unix time."""
        found = {}
        async with self._pool.connection() as connection:
            for second in seconds:
                window = (_earliest_id(second - WINDOW_SECONDS), _earliest_id(second))
                row = await (await connection.execute(_ACTIVITY, window, binary=True)).fetchone()
                assert row is not None, "counts are a row"
                found[second] = Activity(row[0] / WINDOW_SECONDS, row[1])
        return found


def _earliest_id(second: int) -> UUID:
    """What no id that was made since is smaller than."""
    return UUID(int=second * 1000 << 80)

"""What is parked: an event that cannot be read or projected, and everything that follows for its aggregate.

Others flow on. A parked event is kept with its message, so that it can be looked at. Once a version runs that can read
it, `stagedoor parked retry` applies from the log what was parked, and so does a rebuild (`stagedoor replay`).
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from projections.writer import Parked
from streams.delivery import Delivery

FOLLOWS = "follows a parked event"


class ParkingLot:
    """What one batch parks."""

    def __init__(self, already: set[UUID]) -> None:
        """`already`: aggregates of which an event was parked before."""
        self.parked: list[Parked] = []
        self._stuck = set(already)

    def is_stuck(self, aggregate_id: UUID | None) -> bool:
        """Whether what comes for this aggregate has to be parked too."""
        return aggregate_id in self._stuck

    def park(self, deliveries: Iterable[Delivery], reason: str) -> None:
        """Parks a run of one aggregate's events. The reason is the first one's; the others follow it."""
        for delivery in deliveries:
            self.parked.append(delivery.parked(delivery.error or reason))
            if delivery.aggregate_id is not None:
                self._stuck.add(delivery.aggregate_id)
                reason = FOLLOWS

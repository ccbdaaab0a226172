"""Folds the log for a rebuild, chunk by chunk: the changes of every read model, and what cannot be projected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from domain.published import PublishedEvent
from projections.projection import Change, Projection, SequenceGap, fold_some
from projections.writer import Parked


@dataclass(slots=True)
class Folded:
    """What a chunk of the log makes of one read model."""

    projection: Projection
    changes: list[Change] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)


class Folder:
    """Remembers which aggregates are stuck: an event of theirs is parked, so all that follow are parked too.

    Args:
        stuck: model and id of those that are stuck already.
    """

    def __init__(self, projections: Iterable[Projection], stuck: Iterable[tuple[str, UUID]]) -> None:
        self._projections = tuple(projections)
        self._stuck = set(stuck)

    def fold(self, events: list[PublishedEvent]) -> list[Folded]:
        """The next events of the log, in its order, for every read model.

        Raises:
            SequenceGap: an aggregate's event is missing between two of these.
        """
        return [self._of_model(projection, events) for projection in self._projections]

    def _of_model(self, projection: Projection, events: list[PublishedEvent]) -> Folded:
        runs: dict[UUID, list[PublishedEvent]] = {}
        for event in events:
            if event.topic == projection.topic:
                runs.setdefault(event.subject, []).append(event)
        folded = Folded(projection)
        for aggregate_id, run in runs.items():
            self._of_aggregate(folded, aggregate_id, run)
        return folded

    def _of_aggregate(self, folded: Folded, aggregate_id: UUID, run: list[PublishedEvent]) -> None:
        """One aggregate's change, as far as its events can be projected; the others are parked."""
        change: Change | None = None
        reason = "follows a parked event"
        key = (folded.projection.model, aggregate_id)
        if key not in self._stuck:
            change, error = fold_some(folded.projection, run[0].sequence - 1, run)
            if change is not None:
                folded.changes.append(change)
            if error is None:
                return
            if isinstance(error, SequenceGap):
                raise error
            self._stuck.add(key)
            reason = f"{type(error).__name__}: {error}"
        done = 0 if change is None else change.version - change.base
        folded.parked += [
            # The event itself lies in the log: what is kept of it here is for people to read.
            Parked(None, None, event.subject, event.sequence, event.position, _encoded(event), reason)
            for event in run[done:]
        ]


def _encoded(event: PublishedEvent) -> bytes:
    return msgspec.json.encode(event._asdict())

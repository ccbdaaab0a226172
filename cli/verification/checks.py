"""What has to be true of every aggregate, and of all of them together.

The log is folded event by event through the domain and through the projectors; whatever the database holds besides
(rows, snapshots, counts carried by events) must be what the fold says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import MapperDeserialisationError

from adapters.event_chain import START, link
from adapters.event_codec import decode_event, decode_snapshot, encode_snapshot
from cli.verification import books
from cli.verification.rows import Everything
from domain.aggregate import Aggregate, Event
from domain.order import COMPLETED, Order
from domain.published import PublishedEvent, publish
from domain.ticket import Ticket
from domain.user import User
from projections.models import MODELS
from projections.projection import Columns, Line

MAX_TOLD = 50
"""Differences kept to be shown; the rest is counted."""

_COUNTS = ("available", "held", "sold")


@dataclass(slots=True)
class Verification:
    """The findings so far. Memory: a number for each listing, an entry for each open hold and each account."""

    reached: dict[str, int]
    """By read model, the position up to which it must show everything."""
    differences: list[str] = field(default_factory=list)
    difference_count: int = 0
    events: int = 0
    aggregates: dict[str, int] = field(default_factory=dict)
    """By kind, how many."""
    rows: int = 0
    lines: int = 0
    snapshots: int = 0
    behind: dict[str, int] = field(default_factory=dict)
    """By read model, rows that still miss events the model has not come to."""
    sold: dict[UUID, int] = field(default_factory=dict)
    sold_by_orders: dict[UUID, int] = field(default_factory=dict)
    holds: dict[tuple[UUID, UUID], int] = field(default_factory=dict)
    open_items: dict[tuple[UUID, UUID], int] = field(default_factory=dict)
    users: set[UUID] = field(default_factory=set)

    def differ(self, text: str) -> None:
        """Takes down something that is not as it has to be."""
        self.difference_count += 1
        if len(self.differences) < MAX_TOLD:
            self.differences.append(text)

    def check(self, found: Everything) -> None:
        """One aggregate with all that is stored of it."""
        if not found.events:
            what = [*found.rows, *found.lines, *(["a snapshot"] if found.snapshots else [])]
            self.differ(f"{found.id} is in {', '.join(what)}, but not in the log")
            return
        fold = _Fold(self, found)
        for version, name, state, position, chain in found.events:
            self.events += 1
            fold.check_chain(version, name, state, chain)
            if not fold.apply(version, name, state, position):
                return
        fold.finish()

    def check_together(self, accounts: set[UUID]) -> None:
        """What spans aggregates, once all of them were checked.

        Args:
            accounts: the users whose personal data there is.
        """
        for ticket_id in self.sold.keys() | self.sold_by_orders.keys():
            sold, ordered = self.sold.get(ticket_id, 0), self.sold_by_orders.get(ticket_id, 0)
            if sold != ordered:
                self.differ(f"ticket {ticket_id} has sold {sold}, but completed orders hold {ordered}")
        for (ticket_id, order_id), quantity in self.holds.items():
            if self.open_items.get((ticket_id, order_id)) != quantity:
                self.differ(f"ticket {ticket_id} is held for order {order_id}, which is not open for {quantity}")
        for user_id in self.users ^ accounts:
            self.differ(f"user {user_id} has an account {'but no event' if user_id in accounts else 'no more'}")

    def add(self, aggregate: Aggregate) -> None:
        """Takes one aggregate's final state into the sums."""
        kind = type(aggregate).__name__.lower()
        self.aggregates[kind] = self.aggregates.get(kind, 0) + 1
        match aggregate:
            case Ticket():
                self.sold[aggregate.id] = aggregate.sold
                for order_id, hold in aggregate.holds.items():
                    self.holds[aggregate.id, order_id] = hold.quantity
            case Order():
                for item in aggregate.items:
                    if aggregate.is_open:
                        self.open_items[item.ticket_id, aggregate.id] = item.quantity
                    elif aggregate.status == COMPLETED:
                        self.sold_by_orders[item.ticket_id] = self.sold_by_orders.get(item.ticket_id, 0) + item.kept
            case User() if not aggregate.erased:
                self.users.add(aggregate.id)


class _Fold:
    """One aggregate being folded."""

    def __init__(self, verification: Verification, found: Everything) -> None:
        self._verification = verification
        self._found = found
        self._aggregate: Any = None
        self._columns: Columns = {}
        self._lines: list[Line] = []
        self._undivided = False
        self._model: str | None = None
        self._row_checked = False
        self._completed = 0
        self._position = 0
        self._version = 0
        self._chain = START

    def check_chain(self, version: int, name: str, state: bytes, chain: bytes | None) -> None:
        """Whether the event is the one that was appended after its predecessor."""
        verification, where = self._verification, f"{self._found.id}/{version}"
        for missing in range(self._version + 1, min(version, self._version + 1 + MAX_TOLD)):
            verification.differ(f"event {self._found.id}/{missing} was removed")
        if chain is None:
            verification.differ(f"event {where} ({name}) carries no hash: another program appended it")
        elif version == self._version + 1 and chain != link(self._chain, self._found.id, version, name, state):
            verification.differ(f"event {where} ({name}) was changed: its hash is of something else")
        self._version, self._chain = version, chain or START

    def apply(self, version: int, name: str, state: bytes, position: int) -> bool:
        """Folds one stored event; False: nothing more can be said of this aggregate."""
        where = f"{self._found.id}/{version}"
        try:
            event = decode_event(name, state)
            if (event.originator_id, event.originator_version) != (self._found.id, version):
                raise ValueError("its row carries another id or version")
            self._aggregate = event.mutate(self._aggregate)
            published = publish(event, position)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a stored event is a finding
            self._verification.differ(f"event {where} ({name}) cannot be applied: {type(error).__name__}: {error}")
            return False
        if position <= self._position:
            self._verification.differ(f"event {where} stands before its predecessor in the log")
        self._position = position
        self._completed += isinstance(event, Order.Completed)
        self._check_counts(event, where)
        self._check_row_before(published)
        projection = MODELS[self._model_of(published)]
        self._columns.update(projection.project(published))
        if projection.lines is not None:
            self._lines += projection.lines.make(published)
        self._undivided |= isinstance(event, Order.Completed) and event.money is None
        self._check_snapshot(version)
        self._check_row_at(version)
        return True

    def finish(self) -> None:
        """What can be said once all its events were folded."""
        verification, found = self._verification, self._found
        if self._completed > 1:
            verification.differ(f"order {found.id} was completed {self._completed} times")
        for model, row in found.rows.items():
            if model != self._model or not self._row_checked:
                verification.differ(
                    f"{model} shows {found.id} at version {row['version']}, which the log does not have"
                )
        self._check_lines()
        verification.add(self._aggregate)

    def _check_lines(self) -> None:
        projection = MODELS[self._model or ""]
        row = self._found.rows.get(projection.model)
        if projection.lines is not None:
            stored = self._found.lines.get(projection.lines.table, [])
            version = 0 if row is None else row["version"]
            for difference in books.differences(projection.lines, self._lines, stored, version):
                self._verification.differ(difference)
            self._verification.lines += len(stored)
        if isinstance(self._aggregate, Order):
            for difference in books.imbalances(self._aggregate, self._lines, undivided=self._undivided):
                self._verification.differ(difference)

    def _model_of(self, published: PublishedEvent) -> str:
        if self._model is None:
            self._model = next(name for name, projection in MODELS.items() if projection.topic == published.topic)
        return self._model

    def _check_counts(self, event: Event, where: str) -> None:
        if not isinstance(self._aggregate, Ticket):
            return
        counts = (self._aggregate.available, self._aggregate.held, self._aggregate.sold)
        if min(counts) < 0:
            self._verification.differ(f"event {where} leaves available, held, sold at {counts}")
        carried = tuple(getattr(event, name, count) for name, count in zip(_COUNTS, counts, strict=True))
        if carried != counts:
            self._verification.differ(
                f"event {where} carries {carried} as available, held, sold; the fold says {counts}"
            )

    def _check_row_before(self, published: PublishedEvent) -> None:
        """A row may stand at an earlier version only while its model has not come to the next event."""
        model = self._model_of(published)
        row = self._found.rows.get(model)
        if (0 if row is None else row["version"]) != published.sequence - 1:
            return
        if published.position <= self._verification.reached[model]:
            at = "does not show" if row is None else f"stands still at version {row['version']} for"
            self._verification.differ(f"{model} {at} {published.subject}, event {published.sequence} is missing")
        else:
            self._verification.behind[model] = self._verification.behind.get(model, 0) + 1

    def _check_row_at(self, version: int) -> None:
        row = self._found.rows.get(self._model or "")
        if row is None or row["version"] != version:
            return
        self._row_checked = True
        self._verification.rows += 1
        for name in MODELS[self._model or ""].columns:
            expected = _comparable(self._columns.get(name), row[name])
            if expected != row[name]:
                self._verification.differ(
                    f"{self._model} {self._found.id} at version {version}: {name} is {row[name]!r}, not {expected!r}"
                )

    def _check_snapshot(self, version: int) -> None:
        stored = self._found.snapshots.get(version)
        if stored is None:
            return
        self._verification.snapshots += 1
        expected = encode_snapshot(self._aggregate)
        if stored[0] != expected.topic or _snapshot(*stored) != _json(expected.state):
            self._verification.differ(
                f"the snapshot of {self._found.id} at version {version} is not what the fold says"
            )


def _comparable(expected: Any, stored: Any) -> Any:
    """The folded value as the driver would read it: JSON columns come back as objects."""
    if isinstance(expected, str) and isinstance(stored, list | dict):
        return msgspec.json.decode(expected)
    return expected


def _snapshot(topic: str, state: bytes) -> Any:
    """The snapshot as it is read today: one that was stored before a field was added has its default."""
    try:
        return _json(encode_snapshot(decode_snapshot(topic, state)).state)
    except MapperDeserialisationError:
        return None


def _json(state: bytes) -> Any:
    try:
        return msgspec.json.decode(state)
    except msgspec.DecodeError:
        return None

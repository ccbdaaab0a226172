"""Folds one aggregate's events, and holds everything else there is about it against them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from eventsourcing.persistence import MapperDeserialisationError

from adapters.event_codec import decode_event, decode_snapshot
from cli.verify_books import Books
from cli.verify_findings import Findings
from cli.verify_rows import Rows
from domain.aggregate import Aggregate
from domain.order import COMPLETED, Order
from domain.published import (
    ChargeCreated,
    PublishedEvent,
    TicketCreated,
    TicketReleased,
    TicketReserved,
    TicketReturned,
    TicketSold,
    TicketUpdated,
    publish,
)
from domain.ticket import Ticket
from projections.projection import Columns

_COUNTED = TicketCreated | TicketUpdated | TicketReserved | TicketReleased | TicketSold | TicketReturned


class Fold:
    """One aggregate, event by event."""

    def __init__(self, aggregate_id: UUID, snapshots: dict[int, tuple[str, bytes]], findings: Findings) -> None:
        """`snapshots`: those stored of it, by version."""
        self.aggregate_id = aggregate_id
        self.version = 0
        """The version reached; events behind one that cannot be read or applied are not looked at."""
        self._findings = findings
        self._snapshots = snapshots
        self._aggregate: Any = None
        self._columns: Columns = {}
        self._rows: Rows | None = None
        self._row: tuple[int, Columns] | None = None
        self._position = 0
        self._missing_from: int | None = None
        """The position of the first event that the row does not show."""
        self._broken = False
        self._returned = 0
        self._charges = 0
        self._completed = False

    @property
    def topic(self) -> str:
        """Of the aggregate's published events; empty if none could be read."""
        return "" if self._rows is None else self._rows.projection.topic

    def take(self, name: str, state: bytes, version: int, position: int, models: dict[str, Rows]) -> None:
        """One stored event; `models`: the read models by their topics."""
        if self._broken:
            return
        if version != self.version + 1:
            self._break(f"has version {version} after {self.version}")
            return
        if position <= self._position:
            self._difference(f"version {version} stands at position {position}, before its predecessor")
        try:
            event = decode_event(name, state)
            self._aggregate = event.mutate(self._aggregate)
            published = publish(event, position)
            if self._rows is None:
                self._rows = models[published.topic]
                self._row = self._rows.find(self.aggregate_id)
            self._columns.update(self._rows.projection.project(published))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with this one, the others are to be looked at
            self._break(f"version {version} ({name}) cannot be applied: {type(error).__name__}: {error}")
            return
        self.version, self._position = version, position
        self._look_at(published)
        self._compare(version, position)

    def finish(self, applied: int, parked: bool, books: Books) -> None:
        """After the last event.

        Args:
            applied: up to which position the read model claims to be complete.
            parked: whether events of this aggregate are parked there.
        """
        self._findings.aggregates += 1
        for version in self._snapshots:
            self._difference(f"has a snapshot of version {version}, which it never had")
        if isinstance(self._aggregate, Ticket):
            books.enter_ticket(self._aggregate, self._returned)
        elif isinstance(self._aggregate, Order):
            books.enter_order(
                self._aggregate, completed=self._completed, charges=self._charges, findings=self._findings
            )
        if self._rows is None or self._broken:
            return
        shown = 0 if self._row is None else self._row[0]
        model = self._rows.projection.model
        if shown > self.version:
            self._findings.add(f"{model} {self.aggregate_id} is at version {shown}, the log ends at {self.version}")
        elif shown < self.version and not parked:
            assert self._missing_from is not None
            if self._missing_from <= applied:
                self._findings.add(f"{model} {self.aggregate_id} is at version {shown} instead of {self.version}")
            else:
                self._findings.lagging += 1

    def _look_at(self, event: PublishedEvent) -> None:
        data = event.data
        if isinstance(data, _COUNTED):
            ticket: Ticket = self._aggregate
            if (data.available, data.held, data.sold) != (ticket.available, ticket.held, ticket.sold):
                self._difference(f"version {event.sequence} carries counts that are not the listing's")
            if min(ticket.available, ticket.held, ticket.sold) < 0 or ticket.held != sum(
                hold.quantity for hold in ticket.holds.values()
            ):
                self._difference(f"version {event.sequence} leaves counts that do not add up")
        if isinstance(data, TicketReturned):
            self._returned += data.quantity
        if isinstance(data, ChargeCreated):
            self._charges += 1
        if isinstance(self._aggregate, Order):
            self._completed |= self._aggregate.status == COMPLETED

    def _compare(self, version: int, position: int) -> None:
        """Row and snapshot of this version with the state at it."""
        shown = 0 if self._row is None else self._row[0]
        if version == shown + 1:
            self._missing_from = position
        if self._row is not None and version == shown:
            assert self._rows is not None
            self._findings.rows += 1
            self._rows.compare(self.aggregate_id, version, self._columns, self._row[1])
        stored = self._snapshots.pop(version, None)
        if stored is not None:
            self._findings.snapshots += 1
            try:
                snapshot: Aggregate = decode_snapshot(*stored)
            except MapperDeserialisationError as error:
                self._difference(f"its snapshot of version {version} cannot be read: {error}")
                return
            if _plain(snapshot) != _plain(self._aggregate):
                self._difference(f"its snapshot of version {version} is not what the events make of it")

    def _break(self, what: str) -> None:
        self._broken = True
        self._difference(what)

    def _difference(self, what: str) -> None:
        self._findings.add(f"aggregate {self.aggregate_id}: {what}")


def _plain(aggregate: Aggregate) -> Any:
    return msgspec.to_builtins(aggregate, str_keys=True)

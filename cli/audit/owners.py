"""An ownership as JSON and as a table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from cli.audit.ownership import Ownership, Share
from cli.audit.table import Column, lines, moment, printable

COLUMNS = (
    Column("units", right=True),
    Column("status"),
    Column("since"),
    Column("held until"),
    Column("order"),
    Column("buyer"),
    Column("name today"),
)


class Owner(msgspec.Struct, omit_defaults=True):
    """One order's units. `buyer_name` is there with `--names`; null: the account was erased."""

    order_id: UUID
    buyer_id: UUID | None
    quantity: int
    status: str
    since: datetime
    expires_at: datetime | None
    buyer_name: str | msgspec.UnsetType | None = msgspec.UNSET


class Owners(msgspec.Struct):
    """A listing's units at one moment: quantity = available + held + sold."""

    ticket_id: UUID
    at: datetime
    version: int
    """Of the listing at that moment."""
    title: str
    status: str
    quantity: int
    available: int
    held: int
    lapsed: int
    """Of the held units, those past their deadline: anybody could have taken them."""
    sold: int
    owners: list[Owner]


def as_json(ownership: Ownership, *, names: bool) -> str:
    """One object."""
    ticket = ownership.ticket
    found = Owners(
        ticket_id=ticket.id,
        at=ownership.at,
        version=ticket.version,
        title=ticket.listing.title,
        status=ticket.status,
        quantity=ticket.listing.quantity,
        available=ticket.available,
        held=ticket.held,
        lapsed=ownership.lapsed,
        sold=ticket.sold,
        owners=[_owner(share, names) for share in ownership.shares.values()],
    )
    return msgspec.json.encode(found).decode()


def table(ownership: Ownership) -> Iterator[str]:
    """A line an order, and the sums."""
    ticket, lapsed = ownership.ticket, ownership.lapsed
    yield f"{printable(ticket.listing.title)}, {ticket.status} at {moment(ownership.at)}"
    yield ""
    if ownership.shares:
        yield from lines(COLUMNS, (_row(share) for share in ownership.shares.values()))
        yield ""
    past = f" ({lapsed} of them past the deadline)" if lapsed else ""
    yield (
        f"{ticket.sold} sold + {ticket.held} held{past} + {ticket.available} available = {ticket.listing.quantity}"
        f" units, version {ticket.version}"
    )


def _owner(share: Share, names: bool) -> Owner:
    known: Any = share.buyer_name if names else msgspec.UNSET
    return Owner(share.order_id, share.buyer_id, share.quantity, share.status, share.since, share.expires_at, known)


def _row(share: Share) -> tuple[str, ...]:
    return (
        str(share.quantity),
        share.status,
        moment(share.since),
        "" if share.expires_at is None else moment(share.expires_at),
        str(share.order_id),
        "not in the log" if share.buyer_id is None else str(share.buyer_id),
        "" if share.buyer_name is None else printable(share.buyer_name),
    )

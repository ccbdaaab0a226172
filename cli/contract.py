"""What the commands read from the marketplace's answers; fields they do not need are left out and ignored."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Money(msgspec.Struct, frozen=True):
    """`amount` in minor units of `currency` (ISO 4217, upper case)."""

    amount: int
    currency: str


class Event(msgspec.Struct, frozen=True):
    """What the tickets are for; `starts_at` is aware."""

    name: str
    starts_at: datetime
    venue: str


class Ticket(msgspec.Struct, frozen=True):
    """One listing; `status` is `open`, `sold_out` or `withdrawn`."""

    id: str
    title: str
    event: Event
    price: Money
    quantity: int
    available: int
    held: int
    sold: int
    status: str
    hold_seconds: int | None = None


class OrderItem(msgspec.Struct, frozen=True):
    """Some tickets of one listing in an order; `price` is for one."""

    ticket_id: str
    quantity: int
    price: Money


class Order(msgspec.Struct, frozen=True):
    """One order; `expires_at` is None when nothing is held for it."""

    id: str
    status: str
    items: list[OrderItem]
    total: Money
    created_at: datetime
    expires_at: datetime | None = None


class Payment(msgspec.Struct, frozen=True):
    """One attempt to pay; `status` is that of Stripe's intent."""

    order_id: str
    status: str


class User(msgspec.Struct, frozen=True):
    """The account a session belongs to."""

    id: str
    email: str


class Session(msgspec.Struct, frozen=True):
    """What sign-up, sign-in and refresh answer."""

    user: User
    access_token: str
    refresh_token: str


class FieldProblem(msgspec.Struct, frozen=True):
    """One entry of a 422's `errors`."""

    field: str
    message: str


class ProblemDetails(msgspec.Struct, frozen=True):
    """RFC 9457 problem details with the contract's `code` and `errors`."""

    code: str = ""
    title: str = ""
    detail: str = ""
    errors: list[FieldProblem] = msgspec.field(default_factory=list)

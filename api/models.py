"""What clients send and get, as types: the request models are checked by them, OpenAPI is generated from them.

Requests are strict: an unknown field, a string for a number, a value out of bounds is refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from api.fields import (
    Amount,
    Currency,
    Email,
    HoldSeconds,
    Line,
    Name,
    NewPassword,
    Password,
    Quantity,
    RefundFee,
    RefundReason,
    RefundUntil,
    ResellReturned,
    Secret,
    Text,
    Time,
)
from domain.order import MAX_ITEMS, MAX_QUANTITY_PER_ITEM


class Model(Struct, forbid_unknown_fields=True):
    """A request body or query: nothing in it goes unread."""


class View(Struct):
    """An answer."""


# Accounts -------------------------------------------------------------------------------------------------------------


class NewAccount(Model):
    email: Email
    password: NewPassword
    name: Name


class Credentials(Model):
    email: Email
    password: Password


class RefreshRequest(Model):
    refresh_token: Annotated[
        Secret | UnsetType, Meta(description="Pages of the house leave it out: theirs is in a cookie.")
    ] = UNSET


class AccountChanges(Model):
    """What is left out stays. A new address or password needs the present password."""

    name: Name | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    password: NewPassword | UnsetType = UNSET
    current_password: Password | UnsetType = UNSET


class LinkToken(Model):
    token: Annotated[Secret, Meta(description="What stands behind `=` in the link.")]


class PasswordResetRequest(Model):
    email: Email


class PasswordReset(LinkToken):
    password: NewPassword


class User(View):
    id: UUID
    email: str
    name: str
    email_verified: Annotated[bool, Meta(description="Whether a link that was sent there has been followed.")]


class SignedIn(View, kw_only=True):
    user: User
    access_token: str
    refresh_token: Annotated[
        str | UnsetType, Meta(description="Left out for pages of the house: they get it as a cookie.")
    ] = UNSET
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Meta(description="Seconds until the access token ends.")]


class CurrentUser(View):
    current_user: User | None = field(name="currentUser")


# Listings -------------------------------------------------------------------------------------------------------------


class Price(Model):
    amount: Amount
    currency: Currency


class NewEvent(Model):
    name: Line
    starts_at: Time
    venue: Line
    promoter: Line | None = None
    category: Line | None = None


class NewTicket(Model):
    title: Line
    event: NewEvent
    price: Price
    quantity: Quantity
    description: Text | None = None
    hold_seconds: HoldSeconds | None = None
    refund_until: RefundUntil | None = None
    refund_fee: RefundFee = 0
    resell_returned: ResellReturned = True


class EventChanges(Model):
    """What is left out stays; null clears `promoter` and `category`."""

    name: Line | UnsetType = UNSET
    starts_at: Time | UnsetType = UNSET
    venue: Line | UnsetType = UNSET
    promoter: Line | UnsetType | None = UNSET
    category: Line | UnsetType | None = UNSET


class TicketChanges(Model):
    """What is left out stays. `event` may be given in part, `price` only whole; null clears what is optional."""

    title: Line | UnsetType = UNSET
    event: EventChanges | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    quantity: Quantity | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    hold_seconds: HoldSeconds | UnsetType | None = UNSET
    refund_until: RefundUntil | UnsetType | None = UNSET
    refund_fee: RefundFee | UnsetType = UNSET
    resell_returned: ResellReturned | UnsetType = UNSET


class Money(View):
    amount: Amount
    currency: Currency


class Event(View):
    name: str
    starts_at: datetime
    venue: str
    promoter: str | None
    category: str | None


class Ticket(View):
    id: UUID
    version: int
    seller_id: UUID
    title: str
    event: Event
    price: Money
    quantity: Annotated[int, Meta(description="available + held + sold")]
    description: str | None
    hold_seconds: int | None
    refund_until: RefundUntil | None
    refund_fee: RefundFee
    resell_returned: ResellReturned
    available: int
    held: int
    sold: int
    status: Literal["open", "sold_out", "withdrawn"]
    created_at: datetime
    updated_at: datetime


class TicketPage(View):
    items: list[Ticket]
    next_cursor: str | None


class LiveListing(View):
    """What of a listing changes while one looks at it."""

    id: UUID
    version: int
    status: Literal["open", "sold_out", "withdrawn"]
    quantity: int
    available: int
    held: int
    sold: int
    price: Money


class NewCollected(Model):
    ticket_id: UUID


class Collected(View):
    ticket_id: UUID


# Orders and payments --------------------------------------------------------------------------------------------------


class NewOrderItem(Model):
    ticket_id: UUID
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY_PER_ITEM)]


class NewOrder(Model):
    items: Annotated[list[NewOrderItem], Meta(min_length=1, max_length=MAX_ITEMS)]


class OrderItem(View):
    ticket_id: UUID
    title: str
    quantity: int
    price: Annotated[Money, Meta(description="Of one ticket.")]
    refunded: Annotated[int, Meta(description="Tickets that are the buyer's no more.")]
    refund_until: Annotated[RefundUntil | None, Meta(description="As it was when they were ordered.")]
    refund_fee: RefundFee


class OrderRefund(View):
    """Money of an order that goes back to its buyer."""

    number: Annotated[int, Meta(description="1, 2, 3 … of the order.")]
    amount: Money
    reason: RefundReason
    status: Annotated[
        Literal["pending", "succeeded", "failed"],
        Meta(description="`failed`: the card takes no money back, and a person of the house looks after it."),
    ]
    refund_id: Annotated[
        str | None,
        Meta(description="Stripe's; null: not made yet. Of a dispute: the buyer has the money from the bank."),
    ]


class Order(View):
    id: UUID
    version: int
    buyer_id: UUID
    status: Literal["created", "awaiting_payment", "completed", "cancelled", "expired", "refunded"]
    items: list[OrderItem]
    total: Money
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    payment_intent_id: str | None
    charge_id: str | None
    refund_id: Annotated[str | None, Meta(description="The newest that was made.")]
    refunds: Annotated[list[OrderRefund], Meta(description="The oldest first.")]


class SoldItem(OrderItem):
    given_back: Annotated[Money, Meta(description="Of its money, to the buyer or to the buyer's bank.")]


class SellersOrder(View):
    """An order as a seller of it sees it: their own part, and nothing of the buyer or of how it was paid."""

    id: UUID
    version: int
    status: Annotated[Literal["completed", "refunded"], Meta(description="Of their part.")]
    items: list[SoldItem]
    total: Annotated[Money, Meta(description="Of their items, as they were ordered.")]
    given_back: Money
    created_at: datetime
    updated_at: datetime


class OrderPage(View):
    items: list[Order]
    next_cursor: str | None


class NewRefund(Model):
    """What is left out: all that whoever asks may give back."""

    items: Annotated[list[NewOrderItem], Meta(min_length=1, max_length=MAX_ITEMS)] | None = None
    resell: Annotated[
        bool | None,
        Meta(description="Whether the tickets are on sale again, by default as their listing says; not for the buyer."),
    ] = None


class CheckedIn(View):
    """A ticket that has let somebody in."""

    at: datetime
    gate: Annotated[str | None, Meta(description="The door, in the words of who stood there.")]


class BoughtTicket(View):
    """One ticket that was paid for."""

    ticket_id: Annotated[UUID, Meta(description="Of the listing.")]
    title: str
    event: Event
    number: Annotated[int, Meta(description="Which of the order's tickets for this listing, from 1.")]
    of: Annotated[int, Meta(description="How many the order had.")]
    code: Annotated[str, Meta(description="For its QR code; signed, see `/.well-known/stagedoor-tickets.json`.")]
    short_code: Annotated[str, Meta(description="To type or to say, where the other cannot be scanned.")]
    checked_in: Annotated[CheckedIn | None, Meta(description="Null: nobody came in with it yet.")]


class BoughtTickets(View):
    items: list[BoughtTicket]


class NewPayment(Model):
    order_id: UUID
    payment_method: (
        Annotated[
            str,
            Meta(
                max_length=255,
                pattern=r"^pm_[A-Za-z0-9_]+(?![\s\S])",
                description="The id of a Stripe PaymentMethod; without one the client confirms with Stripe.js.",
            ),
        ]
        | None
    ) = None


class Payment(View):
    order_id: UUID
    status: Annotated[str, Meta(description="The status of Stripe's PaymentIntent.")]
    payment_intent_id: str
    charge_id: str | None
    client_secret: str


# History --------------------------------------------------------------------------------------------------------------


class HistoryItem(View):
    type: str
    position: Annotated[int, Meta(description="Place in the log; grows, with gaps.")]
    sequence: Annotated[int, Meta(description="The version this event made; without gaps.")]
    time: datetime
    actor: Annotated[UUID | None, Meta(description="Whose request it was; null: the house itself.")]
    correlation_id: UUID
    causation_id: UUID
    data: dict[str, Any]


class HistoryPage(View):
    items: list[HistoryItem]
    next_cursor: str | None


# Export ---------------------------------------------------------------------------------------------------------------


class ExportedAccount(View):
    id: UUID
    email: str
    name: str
    created_at: datetime
    is_admin: bool


class ExportedSession(View):
    began_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class ExportedCollected(View):
    ticket_id: UUID
    added_at: datetime


class ExportedListing(View):
    ticket: Ticket
    history: list[HistoryItem]


class ExportedOrder(View):
    order: Order
    history: Annotated[list[HistoryItem], Meta(description="With every charge and refund.")]


class Export(View):
    """Everything there is about a person."""

    exported_at: datetime
    log_position: Annotated[int, Meta(description="Events up to this one are in the histories.")]
    account: ExportedAccount
    history: Annotated[list[HistoryItem], Meta(description="Of the account.")]
    sessions: Annotated[list[ExportedSession], Meta(description="Newest first, as all that follows.")]
    collection: list[ExportedCollected]
    listings: list[ExportedListing]
    orders: list[ExportedOrder]


# Problems -------------------------------------------------------------------------------------------------------------


class FieldError(View):
    field: Annotated[str, Meta(description="As the client wrote it, for example `items[0].quantity`.")]
    message: str


class Problem(View):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Meta(description="Stable; what a program decides by.")]
    instance: Annotated[str, Meta(description="This very answer; `X-Request-Id` names it, too.")]
    trace_id: str
    errors: list[FieldError] | UnsetType = UNSET
    decline_code: Annotated[str, Meta(description="With a 402: Stripe's reason.")] | UnsetType = UNSET
    checked_in: Annotated[CheckedIn, Meta(description="With `ticket_used`: when and where.")] | UnsetType = UNSET

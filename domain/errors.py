"""What the marketplace refuses, each with a stable code that clients may rely on.

A refusal is an answer, not a failure: nothing was changed. What HTTP makes of a code is decided in `api/problems.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar


class DomainError(Exception):
    """A command was refused; nothing was changed. `code` is stable, the text is for people."""

    code: ClassVar[str]


class TicketNotFound(DomainError):
    code = "ticket_not_found"


class OrderNotFound(DomainError):
    """No such order, or not this person's: the two answer alike, so that nobody can probe for ids."""

    code = "order_not_found"


class UserNotFound(DomainError):
    code = "user_not_found"


class SoldOut(DomainError):
    code = "sold_out"


class TooManyHeld(DomainError):
    code = "too_many_held"


class OwnTicket(DomainError):
    code = "own_ticket"


class NotOwner(DomainError):
    code = "not_owner"


class TicketLocked(DomainError):
    code = "ticket_locked"


class TicketWithdrawn(DomainError):
    code = "ticket_withdrawn"


class VersionMismatch(DomainError):
    code = "version_mismatch"


class OrderNotOpen(DomainError):
    code = "order_not_open"


class OrderNotRefundable(DomainError):
    """It was never paid, is refunded already, or has not so many units left."""

    code = "order_not_refundable"


class RefundNotAllowed(DomainError):
    """The seller's terms do not let the buyer give these tickets back, or not any more."""

    code = "refund_not_allowed"


class OrderDisputed(DomainError):
    """The buyer's bank has asked the money back: nobody moves it until that is decided."""

    code = "order_disputed"


class TicketUsed(DomainError):
    """It has let somebody in before."""

    code = "ticket_used"

    def __init__(self, at: datetime, gate: str | None) -> None:
        where = "" if gate is None else f" at {gate}"
        super().__init__(f"it was checked in on {at:%Y-%m-%d} at {at:%H:%M:%S} UTC{where}")
        self.at = at
        self.gate = gate


class TicketVoid(DomainError):
    """It is the buyer's no more, or never was."""

    code = "ticket_void"


class WrongDoor(DomainError):
    """The ticket is for something else than what this door is for."""

    code = "wrong_door"


class AccountMismatch(DomainError):
    """Word of another Stripe account than the seller's own."""

    code = "account_mismatch"


class EmailTaken(DomainError):
    code = "email_taken"


class BadLink(DomainError):
    """A link that was used, cancelled by a newer one or by a change of the account, expired, or never sent."""

    code = "bad_link"


class ChargeMismatch(DomainError):
    """A charge of another amount, currency or intent than the order's own: never taken as its payment."""

    code = "charge_mismatch"


class IdempotencyKeyReused(DomainError):
    code = "idempotency_key_reused"


class Invalid(DomainError):
    """A field has a value no rule allows. `field` is a path as the client wrote it, for example `items[0].quantity`."""

    code = "validation_failed"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Busy(DomainError):
    """The aggregate's mailbox is full: nothing was done, try again in a moment."""

    code = "busy"


class AggregateUnreadable(Exception):
    """What is stored of an aggregate cannot be read: a form that a later version made, or bytes that changed.

    No refusal, since it is no answer to keep: once it can be read, the same command may be carried out.
    """


class Unavailable(DomainError):
    """The event store did not answer in time. Whether the command was carried out is not known: a retry with the
    same idempotency key tells."""

    code = "unavailable"

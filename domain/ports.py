"""What the domain needs from the world outside; `adapters/` provides it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Container, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domain.aggregate import Aggregate, Event
from domain.money import Money
from domain.order import Charge, ChargeFailure, Settlement
from domain.order_disputes import DisputeWord
from domain.order_refunds import RefundMade
from domain.payouts import Refund, Reversal, Transfer
from domain.records import LinkPurpose, Outcome, Record
from domain.user import PayoutAccount


class StoreUnavailable(Exception):
    """The event store did not answer. With `in_doubt` a commit was on its way: it may have happened or not."""

    def __init__(self, reason: str, *, in_doubt: bool = False) -> None:
        super().__init__(reason)
        self.in_doubt = in_doubt


class KeyUsed(Exception):
    """Under a key of the batch's answers there is one already. Nothing was committed."""


class LockNeeded(Exception):
    """A batch that was decided without the lock cannot be committed: somebody else appended meanwhile, the store's
    clock is not what it was taken for, or it needs what only the lock keeps still. Nothing was committed."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An aggregate whose stored events this version cannot read. It stands still, all others go on."""

    originator_id: UUID
    reason: str


class Transaction(Protocol):
    """One batch, committed only if nobody else appends to the log between its begin and its end: because the log is
    locked, or because the commit looks.

    Every method may raise `StoreUnavailable`, and without the lock `LockNeeded`.
    """

    now: datetime
    """The store's clock, one for all processes: read when the log was locked, or right to a second, which the commit
    checks."""

    def events_of_others(self, wanted: Container[UUID]) -> Iterable[Event | Unreadable] | None:
        """What other processes appended to the wanted aggregates since the position begun with, in log order.

        None: that is too much to read under the lock, or the position was None; whatever is in memory is to be dropped.
        """

    async def end_beyond_reach(self) -> int | None:
        """The log's end, if others have appended more since the position begun with than is read under the lock."""

    async def load(self, ids: Collection[UUID]) -> dict[UUID, Aggregate | Unreadable]:
        """The aggregates that exist, from their newest readable snapshot and the events after it."""

    async def outcomes(self, keys: Collection[tuple[UUID, str]]) -> dict[tuple[UUID, str], Outcome]:
        """The answers already given under these (scope, key)."""

    async def email_owner(self, email: str) -> UUID | None:
        """Whose address it is."""

    async def link_owner(self, token_hash: bytes, purpose: LinkPurpose) -> UUID | None:
        """Whose link it is; None when it is good no more."""

    async def contains(self, event: Event) -> bool:
        """Whether this very event (same aggregate, version and command) is in the log."""

    async def commit(self, events: Sequence[Event], records: Sequence[Record]) -> int:
        """Appends and commits, durably; returns the log's new end. With nothing to write it only ends, but without the
        lock it still asks whether what was decided on is current.

        Raises:
            KeyUsed: see there.
        """


class EventStore(Protocol):
    """The log. One task at a time writes through it (`domain/actors.py`)."""

    def begin(self, after: int | None) -> AbstractAsyncContextManager[Transaction]:
        """Locks the log; left without `commit`, nothing happened.

        Args:
            after: the last position this process has seen; None to start at the log's end.
        """

    def begin_optimistic(self, after: int) -> AbstractAsyncContextManager[Transaction]:
        """Locks nothing before the commit, which takes one message then and raises `LockNeeded` if anybody has appended
        since `after`. Also raised here, while the store has not been heard of.

        Args:
            after: the last position this process has seen.
        """

    def keep_snapshot(self, aggregate: Aggregate) -> None:
        """Takes the state down now and stores it soon, outside the transaction; never raises, never waits."""

    async def close(self) -> None:
        """Gives connections back."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A PaymentIntent as the gateway last saw it; `status` is Stripe's."""

    payment_intent_id: str
    status: str
    client_secret: str
    charge: Charge | None = None
    """The money it took, once `status` is `succeeded`."""
    failure: ChargeFailure | None = None
    """Why the last try took none."""


class PaymentUnavailable(Exception):
    """The payment provider did not answer, or refused for a reason that is not the buyer's. Try again."""


class PaymentGateway(Protocol):
    """Stripe, or what speaks its API. Every method may raise `PaymentUnavailable`; every effect happens once."""

    async def create_intent(self, order_id: UUID, total: Money) -> Intent:
        """The order's one intent: asked again, the same one."""

    async def confirm(self, payment_intent_id: str, payment_method: str, attempt: str) -> Intent:
        """Charges the card; a refusal is an answer (`failure`). The same attempt again is the same charge."""

    async def fetch(self, payment_intent_id: str) -> Intent:
        """The intent as it stands."""

    async def cancel(self, payment_intent_id: str) -> Intent:
        """Closes the intent for good; one that has succeeded meanwhile comes back so."""

    async def settlement(self, charge_id: str) -> Settlement | None:
        """What the charge is on the house's balance; None while Stripe does not know."""

    async def refund(self, order_id: UUID, refund: Refund) -> RefundMade:
        """Sends money of a charge back; the same refund (number and tries) again is the same one."""

    async def transfer(self, order_id: UUID, transfer: Transfer) -> str:
        """Moves money to a seller's account; the same again is once. Returns the transfer's id."""

    async def reverse(self, order_id: UUID, reversal: Reversal) -> str:
        """Takes money of a transfer back; the same again is once. Returns the reversal's id."""


class PayoutGateway(Protocol):
    """Sellers' accounts (Stripe Connect). Every method may raise `PaymentUnavailable`."""

    async def create_account(self, user_id: UUID) -> PayoutAccount:
        """The seller's one account: asked again, the same one."""

    async def fetch_account(self, account_id: str) -> PayoutAccount:
        """The account as it stands."""

    async def onboarding_link(self, account_id: str, *, return_url: str, refresh_url: str) -> OnboardingLink:
        """Where the seller tells Stripe who they are and where the money goes; good once and for some minutes."""


@dataclass(frozen=True, slots=True)
class OnboardingLink:
    """A page at Stripe for one person."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class BookedCharge:
    """A charge that Stripe took for an order of this house, as its books have it."""

    order_id: UUID | None
    """None: its metadata name no order."""
    charge: Charge
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BookedRefund:
    """A refund in Stripe's books."""

    order_id: UUID | None
    """None: its metadata name no order."""
    refund: RefundMade
    payment_intent_id: str | None
    failed: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BookedDispute:
    """A dispute in Stripe's books."""

    payment_intent_id: str | None
    word: DisputeWord
    created_at: datetime


class PaymentBooks(Protocol):
    """What Stripe has in its books, for comparing. Every method may raise `PaymentUnavailable`."""

    def charges(self, since: datetime, until: datetime) -> AsyncIterator[BookedCharge]:
        """Charges that succeeded, made in this time (the end excluded), the newest first."""

    def refunds(self, since: datetime, until: datetime) -> AsyncIterator[BookedRefund]:
        """Refunds made in this time (the end excluded), the newest first."""

    def disputes(self, since: datetime, until: datetime) -> AsyncIterator[BookedDispute]:
        """Disputes that began in this time (the end excluded), as they stand, the newest first."""

    async def find_charge(self, charge_id: str) -> BookedCharge | None:
        """One charge that succeeded; None if there is none."""

    async def find_refund(self, refund_id: str) -> BookedRefund | None:
        """One refund, failed or not; None if there is none."""

    async def order_of(self, payment_intent_id: str) -> UUID | None:
        """Which order an intent is of; None when it is not of this house."""

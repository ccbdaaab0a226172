"""An account, as the log knows it: that it exists, what kind of thing changed, that it was erased.

No personal data is ever an event. Name, e-mail address and password live in one table (`domain/records.py`: `Account`)
that is written in the transaction of the event, sealed with a key of the person's own; erasing the person is destroying
that key and the row, and the log stays whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from domain.aggregate import Aggregate, CreatedEvent, Event, Stamp, begin, pinned
from domain.errors import AccountMismatch, UserNotFound


@dataclass(frozen=True, slots=True)
class PayoutAccount:
    """A seller's account at Stripe Connect, see the fields of `User`."""

    account_id: str
    transfers_enabled: bool = False
    payouts_enabled: bool = False
    details_submitted: bool = False


@dataclass(kw_only=True, eq=False)
class User(Aggregate):
    """A person who sells, buys, or runs the house."""

    admin: bool = False
    erased: bool = False
    account_id: str | None = None
    """The Stripe account that this person's sales are paid to."""
    transfers_enabled: bool = False
    """Whether Stripe lets money be transferred there."""
    payouts_enabled: bool = False
    """Whether Stripe pays it out to their bank."""
    details_submitted: bool = False
    """Whether they have told Stripe all it first asked for."""

    @classmethod
    def sign_up(cls, user_id: UUID, stamp: Stamp) -> User:
        """Opens an account."""
        user: User = begin(
            cls.Created(originator_id=user_id, originator_version=1, timestamp=stamp.at, cause=stamp.cause)
        )
        return user

    def note_changes(self, changed: tuple[str, ...], stamp: Stamp) -> None:
        """Takes down what changed (`name`, `email`, `email_verified`, `password`), never to what."""
        self.check_exists()
        if changed:
            self.trigger(self.Updated, stamp, changed=changed, admin=self.admin)

    def appoint(self, admin: bool, stamp: Stamp) -> None:
        """Makes or unmakes an administrator; the same again changes nothing."""
        self.check_exists()
        if admin != self.admin:
            self.trigger(self.Updated, stamp, changed=("admin",), admin=admin)

    def erase(self, stamp: Stamp) -> None:
        """The person is gone; twice is once."""
        if not self.erased:
            self.trigger(self.Erased, stamp)

    def open_account(self, account_id: str, stamp: Stamp) -> None:
        """Takes down the Stripe account that was made for this person; the first one stays."""
        self.check_exists()
        if self.account_id is None:
            self.trigger(self.PayoutAccountCreated, stamp, account_id=account_id)

    def note_account(self, account: PayoutAccount, stamp: Stamp) -> None:
        """Takes down what Stripe says of it; the same again changes nothing. An erased person's money goes on.

        Raises:
            AccountMismatch: it is not this person's.
        """
        if account.account_id != self.account_id:
            raise AccountMismatch("the account is not this person's")
        if account != self.account:
            self.trigger(
                self.PayoutAccountUpdated,
                stamp,
                transfers_enabled=account.transfers_enabled,
                payouts_enabled=account.payouts_enabled,
                details_submitted=account.details_submitted,
            )

    @property
    def account(self) -> PayoutAccount | None:
        """The Stripe account as last heard of."""
        if self.account_id is None:
            return None
        return PayoutAccount(self.account_id, self.transfers_enabled, self.payouts_enabled, self.details_submitted)

    def check_exists(self) -> None:
        """Raises `UserNotFound` when the account was erased."""
        if self.erased:
            raise UserNotFound("the account was erased")

    @pinned("stagedoor.User.Created")
    class Created(CreatedEvent):
        def create(self) -> User:
            return User(**self.base_fields())

    @pinned("stagedoor.User.Updated")
    class Updated(Event):
        changed: tuple[str, ...]
        admin: bool

        def apply(self, aggregate: User) -> None:
            aggregate.admin = self.admin

    @pinned("stagedoor.User.PayoutAccountCreated")
    class PayoutAccountCreated(Event):
        account_id: str

        def apply(self, aggregate: User) -> None:
            aggregate.account_id = self.account_id

    @pinned("stagedoor.User.PayoutAccountUpdated")
    class PayoutAccountUpdated(Event):
        transfers_enabled: bool
        payouts_enabled: bool
        details_submitted: bool

        def apply(self, aggregate: User) -> None:
            aggregate.transfers_enabled = self.transfers_enabled
            aggregate.payouts_enabled = self.payouts_enabled
            aggregate.details_submitted = self.details_submitted

    @pinned("stagedoor.User.Erased")
    class Erased(Event):
        def apply(self, aggregate: User) -> None:
            aggregate.erased = True

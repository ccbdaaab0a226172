"""An account, as the log knows it: that it exists, what kind of thing changed, that it was erased.

No personal data is ever an event. Name, e-mail address and password live in one table (`domain/records.py`: `Account`)
that is written in the transaction of the event, sealed with a key of the person's own; erasing the person is destroying
that key and the row, and the log stays whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from domain.aggregate import Aggregate, CreatedEvent, Event, Stamp, begin, pinned
from domain.errors import UserNotFound


@dataclass(kw_only=True, eq=False)
class User(Aggregate):
    """A person who sells, buys, or runs the house."""

    admin: bool = False
    erased: bool = False

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

    @pinned("stagedoor.User.Erased")
    class Erased(Event):
        def apply(self, aggregate: User) -> None:
            aggregate.erased = True

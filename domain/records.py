"""What is stored beside the log, in the transaction of the events: personal data, sessions, and answers already given.

None of it is history: a record can be changed, pruned or erased, the log cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

LinkPurpose = Literal["verify_email", "password_reset"]
"""What a link sent by mail lets its bearer do."""

LetterKind = Literal["verify_email", "password_reset", "password_changed", "address_changed"]


@dataclass(frozen=True, slots=True)
class Account:
    """The personal data of a user. `email` is normalised and unique."""

    user_id: UUID
    email: str
    name: str
    password_hash: str
    email_verified: bool = False


@dataclass(frozen=True, slots=True)
class AccountChange:
    """The fields of an account that change; None leaves one as it is.

    A new address is not verified. A new address or password cancels every link that was sent.
    """

    user_id: UUID
    email: str | None = None
    name: str | None = None
    password_hash: str | None = None

    def changed(self) -> tuple[str, ...]:
        """The names of the fields that change, never their values."""
        fields = (("email", self.email), ("name", self.name), ("password", self.password_hash))
        return tuple(name for name, value in fields if value is not None)

    @property
    def cancels_links(self) -> bool:
        """Whether links that were sent before are good no more: they went to another address, or to who lost it."""
        return self.email is not None or self.password_hash is not None


@dataclass(frozen=True, slots=True)
class AccountErased:
    """The person's key, the account's row, sessions, collection, stored answers, links and letters go."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class EmailVerified:
    """The person has shown that the account's address is theirs; the link that was sent for it is spent."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter to send. `recipient` is a normalised address; None is the account's own at the time of sending."""

    kind: LetterKind
    user_id: UUID
    recipient: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in: one family of refresh tokens, of which the newest is known by its hash."""

    session_id: UUID
    user_id: UUID
    refresh_hash: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SessionsEnded:
    """Every session of the user ends, but for one that may stay."""

    user_id: UUID
    but: UUID | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer given under an idempotency key. `scope` is whose key it is; `fingerprint` tells the request."""

    scope: UUID
    key: str
    fingerprint: bytes
    answer: bytes


Record = Account | AccountChange | AccountErased | EmailVerified | Letter | Session | SessionsEnded | Outcome

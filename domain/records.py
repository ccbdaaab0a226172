"""What is stored beside the log, in the transaction of the events: personal data, sessions, and answers already given.

None of it is history: a record can be changed, pruned or erased, the log cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Account:
    """The personal data of a user. `email` is normalised and unique."""

    user_id: UUID
    email: str
    name: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class AccountChange:
    """The fields of an account that change; None leaves one as it is."""

    user_id: UUID
    email: str | None = None
    name: str | None = None
    password_hash: str | None = None

    def changed(self) -> tuple[str, ...]:
        """The names of the fields that change, never their values."""
        fields = (("email", self.email), ("name", self.name), ("password", self.password_hash))
        return tuple(name for name, value in fields if value is not None)


@dataclass(frozen=True, slots=True)
class AccountErased:
    """The account's row, sessions, collection and stored answers go."""

    user_id: UUID


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


Record = Account | AccountChange | AccountErased | Session | SessionsEnded | Outcome

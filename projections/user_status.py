"""The read model `user_status`: that an account exists, whether it is an administrator's, can be paid, was erased."""

from __future__ import annotations

from domain.published import (
    USERS,
    PayoutAccountCreated,
    PayoutAccountUpdated,
    PublishedEvent,
    UserCreated,
    UserErased,
    UserUpdated,
)
from projections.projection import Columns, Projection


def project(event: PublishedEvent) -> Columns:
    """The columns an event of an account sets.

    Raises:
        TypeError: it is no event of an account.
    """
    match event.data:
        case UserCreated():
            whole = {"admin": False, "erased": False, "transfers_enabled": False}
            return {**whole, "created_at": event.time, "updated_at": event.time}
        case UserUpdated(admin=admin):
            return {"admin": admin, "updated_at": event.time}
        case PayoutAccountCreated():
            return {"updated_at": event.time}
        case PayoutAccountUpdated(transfers_enabled=enabled):
            return {"transfers_enabled": enabled, "updated_at": event.time}
        case UserErased():
            return {"erased": True, "updated_at": event.time}
        case other:
            raise TypeError(f"{type(other).__name__} is no event of an account")


USER_STATUS = Projection(
    model="user_status",
    topic=USERS,
    columns={
        "admin": "boolean",
        "erased": "boolean",
        "transfers_enabled": "boolean",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
    },
    project=project,
)

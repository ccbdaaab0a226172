"""The read model `user_status`: that an account exists, whether it is an administrator's, whether it was erased."""

from __future__ import annotations

from domain.published import USERS, PublishedEvent, UserCreated, UserErased, UserUpdated
from projections.projection import Columns, Projection


def project(event: PublishedEvent) -> Columns:
    """The columns an event of an account sets.

    Raises:
        TypeError: it is no event of an account.
    """
    match event.data:
        case UserCreated():
            return {"admin": False, "erased": False, "created_at": event.time, "updated_at": event.time}
        case UserUpdated(admin=admin):
            return {"admin": admin, "updated_at": event.time}
        case UserErased():
            return {"erased": True, "updated_at": event.time}
        case other:
            raise TypeError(f"{type(other).__name__} is no event of an account")


USER_STATUS = Projection(
    model="user_status",
    topic=USERS,
    columns={"admin": "boolean", "erased": "boolean", "created_at": "timestamptz", "updated_at": "timestamptz"},
    project=project,
)

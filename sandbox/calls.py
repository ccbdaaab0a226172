"""One call of the API: what an operation gets, and the services it works with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from sandbox.events import Events
from sandbox.parameters import Parameters
from sandbox.store import Store


@dataclass(slots=True)
class Call:
    """A request that is authenticated and parsed."""

    store: Store
    events: Events
    parameters: Parameters
    identifier: str
    """The id in the URL, or an empty string."""
    public: bool
    """Made with a publishable key: it needs the intent's client secret, and sees less."""
    origin: str
    """Scheme, host and port the caller used, for the address of the 3-D Secure page."""
    now: int
    """Seconds since 1970."""
    parent: str = ""
    """The id in the URL of what the object belongs to, or an empty string."""
    request: str | None = None
    """The request's id; None when it is not a request of Stripe's API."""
    idempotency_key: str | None = None

    @classmethod
    def own(cls, store: Store, events: Events, identifier: str) -> Self:
        """What the sandbox does by itself or for its control interface, about the object of this id."""
        return cls(
            store=store,
            events=events,
            parameters=Parameters(""),
            identifier=identifier,
            public=False,
            origin="",
            now=int(time.time()),
        )

    def happened(
        self,
        event_type: str,
        subject: dict[str, Any],
        previous: dict[str, Any] | None = None,
        *,
        account: str | None = None,
    ) -> None:
        """Keeps an event that this call has caused; `account`: the connected account it happened to."""
        self.events.add(
            event_type,
            subject,
            now=self.now,
            request=self.request,
            idempotency_key=self.idempotency_key,
            previous=previous,
            account=account,
        )

    def settle_later(self, subject: str, outcome: str) -> None:
        """Has the object of this id come to its end after a while; see `settlements.py`."""
        self.store.write("INSERT OR REPLACE INTO settlements VALUES (?, ?, ?)", (subject, outcome, time.time()))

    def settled(self, subject: str) -> None:
        """It has come to its end, in whatever way."""
        self.store.write("DELETE FROM settlements WHERE subject = ?", (subject,))


Operation = Callable[[Call], dict[str, Any]]
"""Does a call and returns the object to answer with. Raises StripeError. Must not wait: it runs in one transaction."""

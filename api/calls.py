"""One request on its way through a handler: who asks, under which key, and the commands made of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from aiohttp import web

from api.answers import Answer
from api.auth import Principal, unauthenticated
from api.idempotency import once
from api.ids import new_id
from api.problems import Refused
from api.services import Services
from api.tracing import TRACE, Trace
from domain.aggregate import Cause
from domain.marketplace import Ask

A = TypeVar("A")
R = TypeVar("R")

_CANONICAL_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_MISSING = {"ticket_id": "ticket_not_found", "order_id": "order_not_found", "user_id": "user_not_found"}
"""Variable of a path → what is answered when it cannot be anything's id."""


class Call:
    """What a handler gets. `raw` is the body as it came, `key` its Idempotency-Key where the route takes one."""

    __slots__ = ("key", "principal", "raw", "remote", "request", "services", "trace")

    def __init__(self, request: web.Request, services: Services) -> None:
        self.request = request
        self.services = services
        self.trace: Trace = request[TRACE]
        self.remote = services.addresses.of(request)
        """The client's address, as far as it can be told."""
        self.principal: Principal | None = None
        self.raw = b""
        self.key: str | None = None

    @property
    def user(self) -> Principal:
        """Who is signed in; only where the route asks for it."""
        if self.principal is None:
            raise unauthenticated("sign in first")
        return self.principal

    def path_id(self, name: str) -> UUID:
        """An id of the path. Raises `Refused` (404) when it is no id at all."""
        text = self.request.match_info[name]
        if _CANONICAL_UUID.fullmatch(text) is None:
            raise Refused(_MISSING[name], "there is nothing of this id")
        return UUID(text)

    def cause(self) -> Cause:
        """Why a command is given: each gets an id of its own, all of one request share its correlation id."""
        return self.cause_of(None if self.principal is None else self.principal.user_id)

    def cause_of(self, actor: UUID | None) -> Cause:
        """The same, on somebody else's word; None is the house's own."""
        return Cause(actor, new_id(), self.trace.correlation_id, self.trace.traceparent)

    def ask(self, answer: Callable[[A], Answer]) -> Ask[A, Answer]:
        """A command whose outcome is the answer, the only one ever under the request's key."""
        if self.key is None:
            return Ask(self.cause(), answer)
        return Ask(self.cause(), answer, once(self.user.user_id, self.key, self.request, self.raw, self.trace))

    def command(self, answer: Callable[[A], R]) -> Ask[A, R]:
        """A command whose outcome is not the answer yet, and is not stored."""
        return Ask(self.cause(), answer)

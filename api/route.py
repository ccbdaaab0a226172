"""What a route is made of. The table is `api/routes.py`; handlers, OpenAPI and tests are all made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import UnionType
from typing import Any

from aiohttp import web

from api.models import Model

Handler = Callable[..., Awaitable[web.StreamResponse]]
"""Takes the call and, where the route has one, its body or its query."""


class Access(Enum):
    """Who may use a route."""

    ANYONE = "anyone; a token is not looked at"
    OPTIONAL = "anyone; a good token says who asks, a bad one is nobody's"
    SIGNED_IN = "anyone signed in, for themselves"
    OWNER = "the owner of the thing named in the path; others who are signed in get 403"
    PARTY = "whom the thing named belongs to; for others who are signed in it does not exist: 404"
    PARTIES = "the buyer, whoever sells a ticket of it, and administrators; for others it does not exist: 404"
    SELLERS = "whoever sells a ticket of it, and administrators; for others, the buyer too, it does not exist: 404"
    STRIPE = "whoever signs as Stripe"

    @property
    def needs_token(self) -> bool:
        return self in (Access.SIGNED_IN, Access.OWNER, Access.PARTY, Access.PARTIES, Access.SELLERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of the table."""

    method: str
    path: str
    handler: Handler
    access: Access
    answers: Mapping[int, type | UnionType | None]
    """Status of a success → what its body is, or one of which it is; None: no body, or one of `media`."""
    media: str | None = None
    """The media type, or range, of a body that is not made of a model."""
    body: type[Model] | None = None
    query: type[Model] | None = None
    problems: tuple[str, ...] = ()
    """Codes of `api/problems.py` that are this route's own; those of its kind come with it (`all_problems`)."""
    takes_key: bool = False
    """Whether it makes something, so that an Idempotency-Key makes it once."""
    takes_if_match: bool = False
    takes_raw_body: bool = False
    """The handler reads the bytes themselves, whatever they are."""
    is_limited: bool = True
    """Whether requests count against the bounds of `api/limits.py`; machines that watch the house are let through."""
    needs_verified_email: bool = False
    """Whether it is for verified addresses only, where the settings ask for them (`STAGEDOOR_VERIFIED_EMAIL`)."""
    is_page: bool = False
    """Whether it is for people: then what goes wrong is told as a page (`api/page_routes.py`)."""
    summary: str = field(default="", kw_only=True)
    admin_reads: bool = False
    """Whether an administrator may do what only the owner may."""

    @property
    def name(self) -> str:
        """The handler's name, for example `orders.place`."""
        module = self.handler.__module__.rpartition(".")[2]
        return f"{module}.{self.handler.__name__}"

    @property
    def is_json(self) -> bool:
        return any(model is not None for model in self.answers.values())

    def all_problems(self) -> list[str]:
        """Every code it may answer, in no particular order."""
        # What the parser refuses is on any path.
        codes = {"internal_error", "bad_request", "uri_too_long", "headers_too_large", *self.problems}
        if self.is_limited:
            codes |= {"too_many_requests", "busy"}
        if self.access.needs_token:
            codes |= {"unauthenticated"}
        if self.body is not None:
            codes |= {"bad_json", "validation_failed", "unsupported_media_type"}
        if self.body is not None or self.takes_raw_body:
            codes |= {"body_too_large", "request_timeout", "unsupported_media_type"}
        if self.query is not None:
            codes |= {"validation_failed"}
        if self.takes_key:
            codes |= {"idempotency_key_reused", "validation_failed"}
        if self.needs_verified_email:
            codes |= {"email_not_verified", "unavailable"}
        if self.takes_if_match:
            codes |= {"version_mismatch"}
        return sorted(codes)


def route(method: str, path: str, handler: Handler, access: Access, summary: str, **more: Any) -> Route:
    """One line: what every route has comes first, the rest by name."""
    return Route(method=method, path=path, handler=handler, access=access, summary=summary, **more)

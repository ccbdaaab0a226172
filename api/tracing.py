"""What tells one request from another: its id, and the W3C trace it belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from aiohttp import web

from api.ids import new_id

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Trace:
    """One request. `correlation_id` is stored with every event it causes, and answered as `X-Request-Id`."""

    correlation_id: UUID
    traceparent: str | None

    @property
    def trace_id(self) -> str:
        """32 hex digits: the caller's trace where there is one."""
        return self.correlation_id.hex if self.traceparent is None else self.traceparent[3:35]


TRACE = web.RequestKey("trace", Trace)


def begin(request: web.Request) -> Trace:
    """Gives the request its id; a `traceparent` that is not one is left out."""
    traceparent = request.headers.get("traceparent")
    if traceparent is not None and _TRACEPARENT.fullmatch(traceparent) is None:
        traceparent = None
    trace = request[TRACE] = Trace(new_id(), traceparent)
    return trace

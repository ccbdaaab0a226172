"""An answer as bytes: made once, at the moment of the decision, and stored so under an idempotency key."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from api.pieces import in_pieces

JSON = "application/json"
PROBLEM = "application/problem+json"

PRIVATE, REVALIDATE = "no-store", "no-cache"
"""`Cache-Control`: nobody keeps what a person may see; public state may be kept, and is asked for each time (ETag)."""

_FIRST_ERROR_STATUS = 400

_encode = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """Status and body; `version` of the one ticket or order in it; `location` of what was made."""

    status: int
    body: bytes = b""
    version: int | None = None
    location: str | None = None

    def response(self, cache: str = PRIVATE) -> web.Response:
        """The HTTP response."""
        headers = {"Cache-Control": cache}
        if self.body:
            headers["Content-Type"] = JSON if self.status < _FIRST_ERROR_STATUS else PROBLEM
        if self.version is not None:
            headers["ETag"] = f'"{self.version}"'
        if self.location is not None:
            headers["Location"] = self.location
        return web.Response(status=self.status, body=in_pieces(self.body), headers=headers)


REPLAYED = "Idempotent-Replayed"
"""The header of an answer that was given before, under the same idempotency key; its value is `true`."""


class Replayed(Answer, frozen=True, array_like=True):
    """An answer as it was stored, given once more."""

    def response(self, cache: str = PRIVATE) -> web.Response:
        """The HTTP response; it says what it is."""
        response = super().response(cache)
        response.headers[REPLAYED] = "true"
        return response


def answer(status: int, body: Any, version: int | None = None, location: str | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, _encode(body), version, location)


def respond(body: Any, version: int | None = None, cache: str = PRIVATE) -> web.Response:
    """200 with a JSON body."""
    return answer(200, body, version).response(cache)


ACCEPTED, NO_CONTENT = Answer(202), Answer(204)

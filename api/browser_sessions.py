"""Sessions of our own pages: the refresh token travels in a cookie that no script can read.

A page asks for it with a header. That header alone keeps other sites out: a form cannot send it, and a script of
another origin may only after a question beforehand that is answered no (`api/cors.py`). The origin is compared all
the same. Whoever does not send the header gets tokens in the body, as ever.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec
from aiohttp import hdrs, web
from msgspec import UNSET

from api import models
from api.answers import Answer, answer
from api.calls import Call
from api.problems import Refused

HEADER, COOKIE_WANTED = "X-Stagedoor-Session", "cookie"

COOKIE, PATH = "stagedoor_session", "/api/users"
"""It goes to the routes that refresh and end a session, and not along with every picture."""


def is_wanted(call: Call) -> bool:
    """Whether it is one of our pages that asks.

    Raises:
        Refused: (403) it is a page of another origin.
    """
    if call.request.headers.get(HEADER) != COOKIE_WANTED:
        return False
    origin = call.request.headers.get(hdrs.ORIGIN, "")
    # What a browser reached us by it says in Host; behind a proxy that rewrites it, the public URL is known.
    if origin != call.services.settings.public_url and urlsplit(origin).netloc != call.request.headers.get(hdrs.HOST):
        raise Refused("foreign_origin", "a session is begun from a page of the house")
    return True


def brought(call: Call) -> str | None:
    """The refresh token of the cookie; None for who wants no cookie or has none. Raises `Refused` (403)."""
    return call.request.cookies.get(COOKIE) if is_wanted(call) else None


def handed_over(call: Call, signed_in: Answer, lifetime_seconds: int) -> web.Response:
    """The response to who has signed in: the refresh token in the body or, for a page, in the cookie alone.

    Raises:
        Refused: (403) it is a page of another origin.
    """
    if not is_wanted(call) or signed_in.status >= web.HTTPBadRequest.status_code:
        return signed_in.response()
    body = msgspec.json.decode(signed_in.body, type=models.SignedIn)
    assert body.refresh_token is not UNSET
    token, body.refresh_token = body.refresh_token, UNSET
    response = answer(signed_in.status, body).response()
    _set(call, response, token, lifetime_seconds)
    return response


def taken_back(call: Call, response: web.Response) -> web.Response:
    """The same response, and the cookie is gone. Raises `Refused` (403)."""
    if is_wanted(call):
        _set(call, response, "", 0)
    return response


def _set(call: Call, response: web.Response, token: str, seconds: int) -> None:
    response.set_cookie(
        COOKIE,
        token,
        max_age=seconds,
        path=PATH,
        secure=call.services.settings.public_url.startswith("https://"),
        httponly=True,
        samesite="Strict",
    )

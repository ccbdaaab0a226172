"""A page as an answer: its headers, its policy, compressed where the browser takes it; and what is said in trouble."""

from __future__ import annotations

import gzip
from functools import cache
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from adapters.settings import Settings
from api.answers import PRIVATE, REVALIDATE
from api.pieces import in_pieces
from api.problems import PROBLEMS, response_to
from api.tracing import Trace
from web.rendering import render

HTML = "text/html; charset=utf-8"

SMALLEST_GZIPPED = 1_000
"""Bytes; what is smaller fits one packet as it is."""

GZIP_LEVEL = 5
"""A tenth of a millisecond for a page of listings; higher levels take longer and save next to nothing."""

STRIPE_SCRIPT = "https://js.stripe.com/v3/"
_STRIPE_SOURCES = {
    "script-src": "https://js.stripe.com https://*.js.stripe.com",
    "connect-src": "https://api.stripe.com",
    "frame-src": "https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com",
}
"""docs.stripe.com/security/guide#content-security-policy"""

_PLAIN = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
"""Nothing inline, nothing from elsewhere."""

PLAIN_POLICY = "; ".join(f"{name} {value}" for name, value in _PLAIN.items())


@cache
def card_form_policy(sandbox: str | None) -> str:
    """The policy of the page with Stripe's card form; of `sandbox`, a URL, where that plays Stripe."""
    if sandbox is None:
        more = _STRIPE_SOURCES
    else:
        parts = urlsplit(sandbox)
        more = dict.fromkeys(("script-src", "connect-src"), f"{parts.scheme}://{parts.netloc}")
    joined = {name: f"{_PLAIN.get(name, '')} {more.get(name, '')}".strip() for name in {**_PLAIN, **more}}
    return "; ".join(f"{name} {value}" for name, value in joined.items())


def sandbox_of(settings: Settings) -> str | None:
    """Where the browser finds the sandbox; None: it is Stripe itself that has a card form."""
    return None if settings.stripe_publishable_key else settings.stripe_api_base


def page(request: web.Request, body: bytes, *, status: int = 200, policy: str = PLAIN_POLICY) -> web.Response:
    """A page. One that was found may be kept and is asked for each time: what is a person's own is in none."""
    headers = {
        hdrs.CONTENT_TYPE: HTML,
        hdrs.CACHE_CONTROL: REVALIDATE if status == web.HTTPOk.status_code else PRIVATE,
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
        "Content-Security-Policy": policy,
    }
    if len(body) >= SMALLEST_GZIPPED and takes_gzip(request):
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(status=status, body=in_pieces(body), headers=headers)


def takes_gzip(request: web.Request) -> bool:
    """Whether the browser unpacks it; one that says `gzip;q=0` is none there is."""
    return "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower()


def trouble(request: web.Request, error: Exception, trace: Trace) -> web.Response:
    """The page that says what went wrong, with the status and headers that the API would answer."""
    problem = response_to(error, trace)
    title, detail = _WORDS.get(problem.status, (_title(problem.status), "Try again in a moment."))
    response = page(
        request, render("trouble.html", here="", status=problem.status, title=title, detail=detail),
        status=problem.status,
    )  # fmt: skip
    for name in (hdrs.RETRY_AFTER, hdrs.ALLOW):
        if name in problem.headers:
            response.headers[name] = problem.headers[name]
    return response


_WORDS = {
    404: ("There is nothing here", "The link may be old, or a letter of it got lost."),
    429: ("That was a lot at once", "Wait a few seconds, then try again."),
    500: ("Something went wrong here", "It was noted. Try again in a moment."),
    503: ("Very many people are here right now", "Try again in a few seconds."),
}


def _title(status: int) -> str:
    return next((title for known, title in PROBLEMS.values() if known == status), "That did not work")

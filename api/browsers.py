"""What every answer tells a browser not to do with it (OWASP ASVS 5.0, section 3.4): no answer is a page but `/docs`.

Strict-Transport-Security is not among it: that is for whoever ends TLS (RFC 6797, section 7.2; `docker/nginx.conf`).
"""

from __future__ import annotations

from aiohttp import hdrs, web

from api.answers import PRIVATE

SERVER = "Stagedoor"
"""What answers; whoever looks for known holes in some version of a library need not be told which is here."""

POLICY = "default-src 'none'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
"""An answer that is opened as a page loads nothing, runs nothing and is framed by nobody."""


def protect(response: web.StreamResponse) -> None:
    """Completes an answer's headers; a page with a policy of its own, or an answer that may be kept, has said so."""
    headers = response.headers
    headers[hdrs.SERVER] = SERVER
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers.setdefault("Content-Security-Policy", POLICY)
    headers.setdefault(hdrs.CACHE_CONTROL, PRIVATE)

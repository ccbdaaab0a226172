"""The API's description: `/openapi.json` for programs, `/docs` for people. The page needs no other server."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from aiohttp import web

from api.answers import JSON, REVALIDATE
from api.calls import Call
from api.pieces import in_pieces
from api.problems import Refused

OPENAPI = web.AppKey("openapi", bytes)

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
}
"""What is served under `/docs/`, and as what."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI sets styles on its elements, hence `unsafe-inline` for styles alone."""


async def openapi(call: Call) -> web.Response:
    """GET /openapi.json"""
    return _response(call.request.app[OPENAPI], JSON)


async def page(_: Call) -> web.Response:
    """GET /docs"""
    return _response(_asset("index.html"), "text/html; charset=utf-8")


async def asset(call: Call) -> web.Response:
    """GET /docs/{asset}"""
    name = call.request.match_info["asset"]
    if name not in ASSETS:
        raise Refused("not_found", "the page has no such part")
    return _response(_asset(name), ASSETS[name])


@cache
def _asset(name: str) -> bytes:
    return files("api.docs_assets").joinpath(name).read_bytes()


def _response(body: bytes, content_type: str) -> web.Response:
    return web.Response(
        body=in_pieces(body),
        headers={
            "Content-Type": content_type,
            "Cache-Control": REVALIDATE,
            "Content-Security-Policy": POLICY,
        },
    )

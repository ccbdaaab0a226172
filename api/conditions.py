"""Conditional requests (RFC 9110, section 13). The validator of a listing or an order is its version, always strong."""

from __future__ import annotations

import re

from aiohttp import hdrs, web

from domain.errors import VersionMismatch

_ETAG = re.compile(r'"([0-9]{1,18})"')
ANY = "*"


def expected_version(request: web.Request) -> int | None:
    """The version `If-Match` asks for; None without the header, or for any version (`*`).

    Raises:
        VersionMismatch: what was sent can match nothing: several tags, a weak one, or none of ours.
    """
    said = request.headers.get(hdrs.IF_MATCH)
    if said is None or said.strip() == ANY:
        return None
    found = _ETAG.fullmatch(said.strip())
    if found is None:
        raise VersionMismatch("If-Match takes the ETag of one version")
    return int(found[1])


def is_known(request: web.Request, version: int) -> bool:
    """Whether the client has this version already (`If-None-Match`)."""
    said = request.headers.get(hdrs.IF_NONE_MATCH)
    if said is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in said.split(",")}
    return ANY in tags or f'"{version}"' in tags

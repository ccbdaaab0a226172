"""The files that pages are made of, with their compressed forms, and the address they have in this version."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
"""What is served, by the end of its name; other files in the folder are for whoever maintains it."""

VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file. `gzipped` is made once, as small as it gets."""

    body: bytes
    gzipped: bytes
    media_type: str


@cache
def static_files() -> dict[str, StaticFile]:
    """Every file that is served, by its name."""
    found = {}
    for file in sorted(files("web").joinpath("static").iterdir(), key=lambda one: one.name):
        dot, suffix = file.name.rpartition(".")[1:]
        media_type = MEDIA_TYPES.get(dot + suffix)
        if media_type is not None:
            body = file.read_bytes()
            found[file.name] = StaticFile(body, gzip.compress(body, 9, mtime=0), media_type)
    return found


@cache
def version() -> str:
    """Digits that change when any file does: modules name one another, so they have one version together."""
    digest = hashlib.sha256()
    for name, file in static_files().items():
        digest.update(name.encode() + b"\0" + file.body + b"\0")
    return digest.hexdigest()[:VERSION_DIGITS]


def url_of(name: str) -> str:
    """Where a file is. Raises KeyError when there is none of this name."""
    assert static_files()[name] is not None
    return f"/assets/{version()}/{name}"

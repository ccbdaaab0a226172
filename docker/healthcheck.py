"""A container's health check: exit 0 when a page of a server in the same container answers 200, else 1 and why.

    python healthcheck.py [URL]

URL is `/healthz` of `STAGEDOOR_HOST` and `STAGEDOOR_PORT` when it is left out. A part that listens nowhere is told
`STAGEDOOR_HEARTBEAT_FILE` instead; then that file has to be fresh. The standard library alone, so that it starts in
tens of milliseconds; straight to the server, so that a proxy in the environment is not asked.
"""

from __future__ import annotations

import http.client
import os
import sys
import time
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 3.0
"""Under the five seconds after which the container's engine gives the check up and says nothing about the reason."""

FRESH_SECONDS = 30.0
"""A heartbeat is due every five seconds (`streams/heartbeat.py`); a busy machine may miss some."""


def stale(file: str) -> str | None:
    """What is wrong with a heartbeat, in one line; None when it is fresh."""
    try:
        age_seconds = time.time() - os.stat(file).st_mtime  # noqa: PTH116 - pathlib costs time to load
    except OSError as error:
        return f"{file}: {error.strerror}"
    return None if age_seconds < FRESH_SECONDS else f"{file}: the last heartbeat was {age_seconds:.0f} s ago"


def problem(url: str) -> str | None:
    """What is wrong with the page, in one line; None when it answers 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", parts.path or "/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error or type(error).__name__}"
    finally:
        connection.close()
    return None if status == http.HTTPStatus.OK else f"{url} answers {status}"


def default_url() -> str:
    """Of the API in this container; a server that listens everywhere is asked on loopback."""
    host = os.environ.get("STAGEDOOR_HOST") or "127.0.0.1"
    port = os.environ.get("STAGEDOOR_PORT") or "8080"
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}/healthz"  # noqa: S104 - compared, not bound


def main(arguments: list[str]) -> int:
    """Returns the exit code; what is wrong goes to standard error, where the engine keeps it."""
    heartbeat = os.environ.get("STAGEDOOR_HEARTBEAT_FILE")
    found = stale(heartbeat) if heartbeat and not arguments else problem(arguments[0] if arguments else default_url())
    if found:
        sys.stderr.write(f"{found}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

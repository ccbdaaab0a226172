"""The address of a mail server, as `STAGEDOOR_SMTP_URL` writes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

SUBMISSION_PORT, IMPLICIT_TLS_PORT = 587, 465
"""RFC 6409 and RFC 8314."""

EXPECTED = "expected smtp://user:password@host:587 or smtps://user:password@host:465"


@dataclass(frozen=True)
class MailServer:
    """Where letters are handed over, and as whom. `user` None: without signing in."""

    host: str
    port: int
    user: str | None
    password: str = field(repr=False)
    implicit_tls: bool
    """TLS from the first byte (`smtps://`)."""
    starttls: bool
    """The connection is turned into TLS before anything is said; a server that cannot is not talked to."""


def parse_mail_server(url: str) -> MailServer:
    """Reads `smtp://[user:password@]host[:port][?starttls=off]` or the same with `smtps://`.

    Without TLS passwords and links travel in the clear: `starttls=off` is for a server on the same machine or network.

    Raises:
        ValueError: it is none; the text does not quote it, since it holds a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError(EXPECTED) from None
    starttls = query.pop("starttls", "on")
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/") or query:
        raise ValueError(EXPECTED)
    if starttls not in ("on", "off"):
        raise ValueError("starttls: expected on or off")
    implicit = parts.scheme == "smtps"
    return MailServer(
        host=parts.hostname,
        port=port or (IMPLICIT_TLS_PORT if implicit else SUBMISSION_PORT),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or ""),
        implicit_tls=implicit,
        starttls=not implicit and starttls == "on",
    )

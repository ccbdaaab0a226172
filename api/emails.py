"""E-mail addresses: one form for what reaches the same person, and a plain look at whether it could be an address."""

from __future__ import annotations

import re
import unicodedata

import idna

from api.fields import MAX_EMAIL
from api.problems import invalid

MAX_LOCAL = 64

_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_ADDRESS = re.compile(rf"(?P<local>[^\s@\"(),:;<>\[\]\\]+)@{_LABEL}(?:\.{_LABEL})+")


def normalised(email: str) -> str:
    """The address as accounts are known by it: compatibility forms folded (NFKC), trimmed, lower case, the domain in
    its Unicode form (IDNA 2008), however it was written: `ann@bücher.example` is `ann@xn--bcher-kva.example`.

    The part before the `@` is lowered too. RFC 5321 would let a server tell `Ann@` from `ann@`; no provider people use
    does, and two accounts that differ by that would be one person's mistake, or somebody's trick.
    """
    # Lower-casing can undo the normal form, so it is made again.
    address = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).strip().lower())
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{_unicode_domain(domain) or domain}"


def checked(email: str, field: str) -> str:
    """The normalised address. Raises `Refused` (422) when it cannot be one; whether it is one, only a mail tells."""
    address = normalised(email)
    found = _ADDRESS.fullmatch(address)
    if found is None or len(found["local"]) > MAX_LOCAL or len(address) > MAX_EMAIL:
        raise invalid(field, "expected an e-mail address")
    if _unicode_domain(address.rpartition("@")[2]) is None:
        raise invalid(field, "expected an e-mail address: there can be no such domain")
    return address


def _unicode_domain(domain: str) -> str | None:
    """The domain in its Unicode form; None when it has none."""
    if domain.isascii() and "xn--" not in domain:
        return domain
    try:
        return idna.decode(idna.encode(domain, uts46=True))
    except UnicodeError:
        return None

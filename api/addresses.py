"""Whose request it is: the client's address, also behind proxies that tell it.

`Forwarded` (RFC 7239) and `X-Forwarded-For` may say anything. They are read only on a connection from a proxy of
`STAGEDOOR_TRUSTED_PROXIES`, and from the right, where the nearest proxy wrote: the first address that is no trusted
proxy's is the client's, and what stands to the left of it is the client's own invention.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import hdrs, web

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

X_FORWARDED_FOR = "X-Forwarded-For"

MAX_HOPS = 20
"""Proxies in a row that are looked past: nobody has more, and a header has room for thousands."""

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Colons and brackets belong into quotes, which some proxies leave out.
_PAIR = rf"({_WORD})=([\[\]:!#$%&'*+.^_`|~0-9A-Za-z-]+|\"(?:[^\"\\]|\\.)*\")"
_PAIRS = re.compile(_PAIR)
_ELEMENT = re.compile(rf"[ \t]*({_PAIR}(?:;{_PAIR})*)?[ \t]*(?:,|\Z)")
_ESCAPED = re.compile(r"\\(.)")

_PORT = r"(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?"
_NODE = re.compile(rf"\[([0-9A-Fa-f:.]+)\]{_PORT}|([0-9.]+){_PORT}|([0-9A-Fa-f:.]+)")


class Addresses:
    """Tells clients' addresses, given whom to believe."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)

    def of(self, request: web.BaseRequest) -> str | None:
        """The client's address; the connection's own where nobody else's word counts or makes sense.

        Both headers at once have to agree: a proxy that writes one of them may pass on the other as the client sent it.
        """
        peer = request.remote
        if not self.trusts(peer):
            return peer
        forwarded = request.headers.getall(hdrs.FORWARDED, ())
        x_forwarded_for = request.headers.getall(X_FORWARDED_FOR, ())
        told = set()
        if forwarded:
            told.add(self._client(_forwarded(",".join(forwarded))))
        if x_forwarded_for:
            told.add(self._client(",".join(x_forwarded_for).split(",")))
        client = told.pop() if len(told) == 1 else None
        return peer if client is None else str(client)

    def trusts(self, peer: str | None) -> bool:
        """Whether a connection from there is a proxy's."""
        if not self._trusted or peer is None:
            return False
        address = _address(peer)
        return address is not None and self._is_trusted(address)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)

    def _client(self, hops: Sequence[str]) -> Address | None:
        """The nearest hop that is no proxy of ours; if all are, the farthest. None: it is no address."""
        client = None
        for hop in reversed(hops[-MAX_HOPS:]):
            client = _address(hop.strip(" \t"))
            if client is None or not self._is_trusted(client):
                return client
        return client


def _forwarded(text: str) -> list[str]:
    """What each element of `Forwarded` says in `for`, the farthest first; nothing at all if it is not well-formed."""
    hops = []
    position = 0
    while position < len(text):  # each turn takes a character at least
        element = _ELEMENT.match(text, position)
        if element is None:
            return []
        position = element.end()
        if element[1]:
            said = [value for name, value in _PAIRS.findall(element[1]) if name.lower() == "for"]
            hops.append(_unquoted(said[0]) if len(said) == 1 else "")
    return hops


def _unquoted(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def _address(text: str) -> Address | None:
    """An address with or without a port; None for `unknown`, an obfuscated identifier (`_hidden`), or nonsense."""
    node = _NODE.fullmatch(text)
    if node is None:
        return None
    try:
        address = ip_address(node[1] or node[2] or node[3])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address

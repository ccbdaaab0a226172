"""The code of a ticket: what its QR code says, signed, so that a door without network can tell it from a made-up one.

    SD1.<payload>.<signature>

Both parts are Base32 (RFC 4648) without padding, so that the whole is of the characters a QR code packs most tightly.
The payload is 34 bytes: the order's id, the listing's id (16 bytes each), and which of the order's tickets for that
listing it is, counted from 1 (2 bytes, the high one first). The signature is Ed25519 over `SD1.<payload>`, ASCII.

A code says that the ticket was bought. Whether it was refunded since, or let in already, only the house knows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from adapters.house_key import HouseKey

PREFIX = "SD1"
_PAYLOAD = struct.Struct(">16s16sH")


class NotATicket(Exception):
    """It is no code of this house."""


@dataclass(frozen=True, slots=True)
class TicketCode:
    """One ticket. `number`: which of the order's tickets for this listing, from 1."""

    order_id: UUID
    ticket_id: UUID
    number: int


class TicketCodes:
    """Signs with a key that is derived from the house key: every process has it, and a backup of one is one of both."""

    def __init__(self, house_key: HouseKey) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(house_key.tickets)
        self.public = self._key.public_key()

    def sign(self, ticket: TicketCode) -> str:
        """The code of a ticket that was paid for."""
        packed = _PAYLOAD.pack(ticket.order_id.bytes, ticket.ticket_id.bytes, ticket.number)
        signed = f"{PREFIX}.{_encoded(packed)}"
        return f"{signed}.{_encoded(self._key.sign(signed.encode()))}"

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK Set (RFC 7517, RFC 8037); its id is its thumbprint (RFC 7638)."""
        x = base64.urlsafe_b64encode(self.public.public_bytes_raw()).rstrip(b"=").decode()
        key = {"crv": "Ed25519", "kty": "OKP", "x": x}
        thumbprint = hashlib.sha256(json.dumps(key, separators=(",", ":"), sort_keys=True).encode()).digest()
        kid = base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
        return {"keys": [{**key, "kid": kid, "use": "sig", "alg": "EdDSA"}]}


def verified(code: str, public: Ed25519PublicKey) -> TicketCode:
    """The ticket of a code; it needs nothing but the public key.

    Raises:
        NotATicket: the code is none, or was not signed with that key.
    """
    signed, _, signature = code.rpartition(".")
    prefix, _, payload = signed.partition(".")
    try:
        public.verify(_decoded(signature), signed.encode())
        order_id, ticket_id, number = _PAYLOAD.unpack(_decoded(payload))
    except (InvalidSignature, binascii.Error, ValueError, struct.error) as error:
        raise NotATicket("it is not signed by this house") from error
    if prefix != PREFIX:
        raise NotATicket("it is of another kind")
    return TicketCode(UUID(bytes=order_id), UUID(bytes=ticket_id), number)


def _encoded(data: bytes) -> str:
    return base64.b32encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b32decode(text + "=" * (-len(text) % 8))

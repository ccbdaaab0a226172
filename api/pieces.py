"""Large answers are sent piece by piece: what a client does not take costs a piece, and not the whole."""

from __future__ import annotations

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

PIECE_BYTES = 32 * 1024
"""The transport holds on to the whole of what it is given until the last byte of it is gone, so it is given little."""


class Pieces(Payload):
    """A body that is written so."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        text: str = self._value.decode(encoding, errors)
        return text

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Writes the next piece once the client has taken most of the one before."""
        for start in range(0, len(self._value), PIECE_BYTES):
            await writer.write(self._value[start : start + PIECE_BYTES])
            await writer.drain()


def in_pieces(body: bytes) -> bytes | Pieces:
    """The body of a response, whatever its size."""
    return body if len(body) <= PIECE_BYTES else Pieces(body)

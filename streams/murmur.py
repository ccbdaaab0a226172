"""Kafka's way from a key to a partition: murmur2, the same in every client.

aiokafka's takes a key byte by byte, which for an id costs as much as all else about sending an event.
"""

from __future__ import annotations

import struct

_SEED, _M, _ALL = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF


def partition_of(key: bytes, count: int) -> int:
    """The partition of a key where there are so many."""
    return (murmur2(key) & _POSITIVE) % count


def murmur2(data: bytes) -> int:
    """The hash, of 32 bits, without a sign."""
    m, every = _M, _ALL
    size = len(data)
    whole = size // 4
    hashed = _SEED ^ size
    for word in struct.unpack_from(f"<{whole}I", data):
        mixed = word * m & every
        hashed = (hashed * m ^ (mixed ^ mixed >> 24) * m) & every
    if size % 4:
        hashed = (hashed ^ int.from_bytes(data[4 * whole :], "little")) * m & every
    hashed = (hashed ^ hashed >> 13) * m & every
    return hashed ^ hashed >> 15

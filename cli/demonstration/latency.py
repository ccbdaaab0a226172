"""Latencies in bounded memory: counts in buckets that grow by a fixed ratio."""

from __future__ import annotations

import math
from collections import Counter

RATIO = 1.02
"""Each bucket is 2 % wider than the one before: a quantile is at most 2 % above the true one."""

SHORTEST_SECONDS = 1e-5
LONGEST_SECONDS = 3600.0
"""Everything longer is counted as an hour, which bounds the buckets to about a thousand."""


class Histogram:
    """Durations in seconds."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0

    def add(self, seconds: float) -> None:
        """Counts one duration."""
        within = min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS)
        self._buckets[math.ceil(math.log(within / SHORTEST_SECONDS, RATIO))] += 1
        self.count += 1

    def quantile_ms(self, share: float) -> float | None:
        """The milliseconds that `share` (0 to 1) of the durations do not exceed; None without any."""
        wanted = math.ceil(share * self.count)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return SHORTEST_SECONDS * math.pow(RATIO, bucket) * 1000
        return None

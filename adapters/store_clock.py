"""The store's clock, between two answers of the store: its last word, and what has passed here since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StoreClock:
    """An estimate that is late by the time an answer takes, never early. The store checks it (`append_alone`), so a
    clock that was set is noticed there, whichever one it was."""

    def __init__(self) -> None:
        self._ahead_seconds: float | None = None
        """Of the monotonic clock here."""

    @property
    def is_set(self) -> bool:
        """Whether the store has said anything yet."""
        return self._ahead_seconds is not None

    def set(self, store_time: datetime) -> None:
        """The store says what time it is, just now."""
        self._ahead_seconds = _seconds(store_time) - monotonic()

    def note(self, store_time: datetime) -> None:
        """The same, of a time that the estimate has just stood beside: taken where it is the less late one."""
        ahead_seconds = _seconds(store_time) - monotonic()
        if self._ahead_seconds is None or ahead_seconds > self._ahead_seconds:
            self._ahead_seconds = ahead_seconds

    def now(self) -> datetime:
        """What the store's clock shows."""
        assert self._ahead_seconds is not None, "asked before the store was"
        return _EPOCH + timedelta(seconds=monotonic() + self._ahead_seconds)


def _seconds(moment: datetime) -> float:
    return (moment - _EPOCH).total_seconds()

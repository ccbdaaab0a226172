"""What the clients saw: every request with its start, its end and what came of it. Nothing here knows the log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import IO, Any, Literal

import msgspec

OFFER, EDIT, RESERVE, PAY, CANCEL = "offer", "edit", "reserve", "pay", "cancel"

Outcome = Literal["ok", "refused", "unknown", "nothing", "unexpected"]
"""`unknown`: it may have happened or not. `nothing`: it has not. `unexpected`: an answer nobody should ever get."""

FINAL: tuple[Outcome, ...] = ("ok", "refused")
"""Outcomes that tell for good what a request came to."""

GOOD_CARD, BAD_CARD = "pm_card_visa", "pm_card_visa_chargeDeclined"


class Try(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. Times are nanoseconds since 1970, of this machine's clock, which is the database's too."""

    number: int
    person: int
    kind: str
    started_ns: int
    ended_ns: int
    outcome: Outcome
    listing: str | None = None
    order: str | None = None
    """Known before for `pay` and `cancel`, from the answer for `reserve`."""
    quantity: int | None = None
    key: str | None = None
    card: str | None = None
    status: int | None = None
    code: str | None = None
    """Of the problem details."""
    answer: str = ""
    """The body, as it came."""

    def body(self) -> Any:
        """The answer, decoded."""
        return msgspec.json.decode(self.answer)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What a buyer wanted done once: one request, or all requests under one key."""

    first: Try
    answered: Try | None
    """The first request with a final outcome."""

    @property
    def kind(self) -> str:
        return self.first.kind

    @property
    def outcome(self) -> Outcome:
        return "unknown" if self.answered is None else self.answered.outcome

    @property
    def order(self) -> str | None:
        return self.first.order if self.answered is None else self.answered.order


class Recorder:
    """Numbers the requests and writes each one down when it has ended."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._number = 0
        self.tries: list[Try] = []

    def next_number(self) -> int:
        """Of a request that begins now."""
        self._number += 1
        return self._number

    def keep(self, ended: Try) -> None:
        """Takes down a request that has ended."""
        assert ended.started_ns <= ended.ended_ns
        self.tries.append(ended)
        self._file.write(msgspec.json.encode(ended) + b"\n")


def now_ns() -> int:
    """As `Try` wants it."""
    return time.time_ns()


def by_key(tries: Iterable[Try]) -> Iterator[list[Try]]:
    """The requests that meant the same, in the order they were made; one without a key is alone."""
    groups: dict[tuple[int, str], list[Try]] = {}
    for one in sorted(tries, key=lambda t: t.number):
        groups.setdefault((one.person, one.key or f"\n{one.number}"), []).append(one)
    yield from groups.values()


def operations(tries: Iterable[Try]) -> list[Operation]:
    """What the buyers wanted done, without what certainly was not begun."""
    found = []
    for group in by_key(tries):
        answered = next((one for one in group if one.outcome in FINAL), None)
        if answered is not None or any(one.outcome != "nothing" for one in group):
            found.append(Operation(first=group[0], answered=answered))
    return found

"""Switches that make the sandbox misbehave as a payment provider and a network can.

They live in memory: a restarted sandbox is a healthy one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

MAX_COUNT = 1_000_000
MAX_DELAY_MS = 600_000
"""Ten minutes: longer than any client's patience; more would only look like a dead sandbox."""
_LEAST_STATUS, _MOST_STATUS = 400, 599


class BadSwitch(Exception):
    """A switch is unknown or has a bad value; the text says which."""


@dataclass
class _Switches:
    answer_lost_after_charging: int = 0
    """The next N confirms do their work, then the connection is cut with no answer."""
    delay_ms: int = 0
    """Every answer under /v1 comes this much later, after the work."""
    settle_delay_ms: int = 1_000
    """What the bank decides later (a refund, a dispute) is decided this much after it was asked."""
    webhook_delay_ms: int = 0
    """Every webhook is sent this much later."""
    webhook_twice: bool = False
    """A webhook that was taken is sent a second time."""
    webhook_reverse_order: bool = False
    """Events are held back and sent in groups, the newest of a group first."""
    webhooks_paused: bool = False
    """Events are kept and sent when this is off again."""
    fail_next: dict[str, int] = field(default_factory=lambda: {"status": 500, "count": 0})
    """The next `count` requests under /v1 answer `status` before any work."""


class Faults:
    """The switches as they stand."""

    def __init__(self) -> None:
        self.now = _Switches()
        self._on_change: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Has `listener` called after each change."""
        self._on_change.append(listener)

    def shown(self) -> dict[str, Any]:
        return asdict(self.now)

    def set(self, wanted: object) -> None:
        """Changes the switches named in `wanted` (a JSON object) and leaves the others. All or nothing.

        Raises BadSwitch.
        """
        if not isinstance(wanted, dict):
            raise BadSwitch("expected a JSON object of switches")
        kinds = {switch.name: switch.type for switch in fields(_Switches)}
        for name, value in wanted.items():
            if name not in kinds:
                raise BadSwitch(f"no switch is called {name!r}; there are {', '.join(kinds)}")
            _check(name, kinds[name], value)
        for name, value in wanted.items():
            setattr(self.now, name, dict(value) if isinstance(value, dict) else value)
        self._changed()

    def reset(self) -> None:
        self.now = _Switches()
        self._changed()

    def _changed(self) -> None:
        for listener in self._on_change:
            listener()

    def take_failure(self) -> int | None:
        """The status this request must fail with before any work, or None. Counts down."""
        if self.now.fail_next["count"] <= 0:
            return None
        self.now.fail_next["count"] -= 1
        return self.now.fail_next["status"]

    def take_lost_answer(self) -> bool:
        """Whether the answer to this confirm must be lost. Counts down."""
        if self.now.answer_lost_after_charging <= 0:
            return False
        self.now.answer_lost_after_charging -= 1
        return True


def _check(name: str, kind: Any, value: object) -> None:
    if kind == "bool":
        if not isinstance(value, bool):
            raise BadSwitch(f"{name} is true or false")
    elif kind == "int":
        _check_number(name, value, 0, MAX_DELAY_MS if name.endswith("_ms") else MAX_COUNT)
    else:
        if not isinstance(value, dict) or set(value) != {"status", "count"}:
            raise BadSwitch(f'{name} is {{"status": 500, "count": 1}}')
        _check_number(f"{name}.status", value["status"], _LEAST_STATUS, _MOST_STATUS)
        _check_number(f"{name}.count", value["count"], 0, MAX_COUNT)


def _check_number(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadSwitch(f"{name} is a whole number from {least} to {most}")

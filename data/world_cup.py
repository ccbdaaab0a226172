"""The 104 matches of the 2026 World Cup, and the listings the demo makes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

MATCHES = 104
SEATS = 7_241_000
"""Seats of all matches together, from the stadiums' capacities: the file is whole when it says the same."""

FINAL = "Final"
LEAD_TIME = timedelta(days=30)
"""How far ahead of now the first match is moved: far enough that nothing begins while somebody tries the demo."""

GROUP_STAGE_PRICE = 12_000
PRICES = {
    "Round of 32": 18_000,
    "Round of 16": 24_000,
    "Quarter-final": 45_000,
    "Semi-final": 90_000,
    "Match for third place": 40_000,
    FINAL: 203_000,
}
"""US cents by round; a group match costs `GROUP_STAGE_PRICE`. Made up, the final dearest."""


@dataclass(frozen=True)
class Match:
    """One match. `kick_off` is aware, in UTC; `capacity` counts seats; `group` is None after the group stage."""

    round: str
    group: str | None
    teams: tuple[str, str]
    stadium: str
    city: str
    capacity: int
    kick_off: datetime

    @property
    def title(self) -> str:
        """Who plays and at which stage: `Mexico – South Africa, Group A`."""
        return f"{' – '.join(self.teams)}, {self.group or self.round}"

    @property
    def price(self) -> int:
        """US cents for one seat."""
        return GROUP_STAGE_PRICE if self.group else PRICES[self.round]


def matches() -> list[Match]:
    """Every match in the order of its kick-off.

    Raises:
        ValueError: the file is not whole: not 104 matches, an unknown city, or not 7,241,000 seats.
    """
    data = json.loads(files("data").joinpath("world-cup-2026.json").read_text(encoding="utf-8"))
    stadiums = {stadium["city"]: stadium for stadium in data["stadiums"]}
    if unknown := {match["city"] for match in data["matches"]} - stadiums.keys():
        raise ValueError(f"no stadium in {', '.join(sorted(unknown))}")
    found = [_match(match, stadiums[match["city"]]) for match in data["matches"]]
    seats = sum(match.capacity for match in found)
    if (len(found), seats) != (MATCHES, SEATS):
        raise ValueError(f"{len(found)} matches with {seats} seats, expected {MATCHES} with {SEATS}")
    return sorted(found, key=lambda match: (match.kick_off, match.city))


def listings(now: datetime, hold_seconds: int | None = None) -> list[dict[str, Any]]:
    """The bodies of `POST /api/tickets` for every match, in the order of `matches()`.

    The calendar is moved by whole days, so that order, spacing and time of day stay: the first match begins 30 to 31
    days after `now` (aware). `hold_seconds` is what each listing asks for; None leaves it to the marketplace.
    """
    found = matches()
    behind = now + LEAD_TIME - found[0].kick_off
    shift = timedelta(days=behind.days + 1)
    return [_listing(match, match.kick_off + shift, hold_seconds) for match in found]


def _match(match: dict[str, Any], stadium: dict[str, Any]) -> Match:
    home, away = match["teams"]
    return Match(
        round=match["round"],
        group=match.get("group"),
        teams=(home, away),
        stadium=stadium["name"],
        city=match["city"],
        capacity=stadium["capacity"],
        kick_off=datetime.fromisoformat(match["kick_off"]),
    )


def _listing(match: Match, starts_at: datetime, hold_seconds: int | None) -> dict[str, Any]:
    stage = f"{match.group}, {match.round}" if match.group else match.round
    body: dict[str, Any] = {
        "title": match.title,
        "event": {
            "name": f"World Cup 2026: {' – '.join(match.teams)}",
            "starts_at": starts_at.isoformat().replace("+00:00", "Z"),
            "venue": match.stadium,
            "promoter": "FIFA",
            "category": "football",
        },
        "price": {"amount": match.price, "currency": "USD"},
        "quantity": match.capacity,
        "description": f"{stage} of the 2026 World Cup, in {match.city}.",
    }
    if hold_seconds is not None:
        body["hold_seconds"] = hold_seconds
    return body

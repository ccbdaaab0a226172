"""The demo's data: the matches, their seats, and the listings made of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from data import world_cup

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


def test_104_matches_hold_7_241_000_seats() -> None:
    matches = world_cup.matches()
    assert len(matches) == 104
    assert sum(match.capacity for match in matches) == 7_241_000
    assert len({match.stadium for match in matches}) == 16
    assert len({match.title for match in matches}) == 104


def test_the_opening_match_and_the_final() -> None:
    opening, final = world_cup.matches()[0], world_cup.matches()[-1]
    assert opening.title == "Mexico – South Africa, Group A"
    assert (opening.stadium, opening.capacity, opening.city) == ("Estadio Azteca", 83_000, "Mexico City")
    assert opening.kick_off == datetime(2026, 6, 11, 19, tzinfo=UTC)
    assert final.title == "Spain – Argentina, Final"
    assert final.kick_off == datetime(2026, 7, 19, 19, tzinfo=UTC)
    assert final.price == max(match.price for match in world_cup.matches())


@pytest.mark.parametrize("now", [NOW, datetime(2031, 1, 1, tzinfo=UTC)])
def test_listings_begin_a_month_ahead_with_the_same_spacing(now: datetime) -> None:
    starts = [datetime.fromisoformat(body["event"]["starts_at"]) for body in world_cup.listings(now)]
    assert timedelta(days=30) <= starts[0] - now <= timedelta(days=31)
    kick_offs = [match.kick_off for match in world_cup.matches()]
    assert {start - kick_off for start, kick_off in zip(starts, kick_offs, strict=True)} == {starts[0] - kick_offs[0]}


def test_a_listing_is_a_body_of_the_contract() -> None:
    body = world_cup.listings(NOW, hold_seconds=10)[0]
    assert body == {
        "title": "Mexico – South Africa, Group A",
        "event": {
            "name": "World Cup 2026: Mexico – South Africa",
            "starts_at": "2026-04-03T19:00:00Z",
            "venue": "Estadio Azteca",
            "promoter": "FIFA",
            "category": "football",
        },
        "price": {"amount": 12_000, "currency": "USD"},
        "quantity": 83_000,
        "description": "Group A, Matchday 1 of the 2026 World Cup, in Mexico City.",
        "hold_seconds": 10,
    }
    assert "hold_seconds" not in world_cup.listings(NOW)[0]


def test_a_file_that_is_not_whole_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_cup, "SEATS", 7_241_001)
    with pytest.raises(ValueError, match="104 matches with 7241000 seats, expected 104 with 7241001"):
        world_cup.matches()

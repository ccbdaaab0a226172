"""What a rebuild that is not finished has left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg

from domain.published import PublishedEvent
from projections.models import MODELS
from projections.projection import Projection
from tests.projections.stories import expected_rows, stored_rows

ALL = tuple(MODELS.values())


def ask(database_url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def do(database_url: str, statement: str, *parameters: Any) -> int:
    with psycopg.connect(database_url, autocommit=True) as connection:
        return connection.execute(statement.encode(), parameters).rowcount


def noted(database_url: str) -> int:
    """The position of the unfinished rebuild; 0 if there is none."""
    if ask(database_url, "SELECT to_regclass('rebuild.reached')") == [(None,)]:
        return 0
    positions = {row[0] for row in ask(database_url, "SELECT position FROM rebuild.reached")}
    assert len(positions) < 2
    return positions.pop() if positions else 0


def assert_shadows_are_the_fold(
    database_url: str, log: Sequence[PublishedEvent], projections: Sequence[Projection] = ALL
) -> None:
    """The unfinished tables show what the log up to the note makes of them, not an event more or less."""
    reached = noted(database_url)
    before = [event for event in log if event.position <= reached]
    for projection in projections:
        shadow = replace(projection, model=f"rebuild.{projection.model}")
        assert stored_rows(database_url, shadow) == expected_rows(projection, before), projection.model


def assert_nothing_is_left(database_url: str) -> None:
    left = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('rebuild')"
    assert ask(database_url, left) == []

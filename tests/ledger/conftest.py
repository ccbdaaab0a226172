"""A pool on a fresh database with some lives of orders in its log."""

from __future__ import annotations

import pytest

from domain.aggregate import Event
from domain.published import PublishedEvent
from tests.ledger.lives import many, published
from tests.projections.stories import append


@pytest.fixture
def events() -> list[Event]:
    return many(7, lives=60)


@pytest.fixture
def log(database_url: str, events: list[Event]) -> list[PublishedEvent]:
    """They are in the store's log, and in no read model."""
    return published(events, append(database_url, events))

"""A story in the store's log, and a pool on it."""

from __future__ import annotations

import pytest

from tests.projections.stories import Story, append


@pytest.fixture
def told(database_url: str) -> Story:
    """A story of a thousand events in the store's log."""
    story = Story(11).tell(400)
    append(database_url, story.events)
    return story

"""A story in the store's log, and a pool on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.database import make_pool
from tests.projections.stories import Story, append


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[AsyncConnectionPool]:
    opened = make_pool(database_url, max_size=4)
    await opened.open(wait=True)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
def told(database_url: str) -> Story:
    """A story of a thousand events in the store's log."""
    story = Story(11).tell(400)
    append(database_url, story.events)
    return story

"""A pool on a fresh database, and the projections' end of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.database import make_pool
from projections.queries import Queries


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[AsyncConnectionPool]:
    opened = make_pool(database_url, max_size=4)
    await opened.open(wait=True)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
def queries(pool: AsyncConnectionPool) -> Queries:
    return Queries(pool)

"""A pool on a fresh database, and the projections' end of it."""

from __future__ import annotations

import pytest
from psycopg_pool import AsyncConnectionPool

from projections.queries import Queries


@pytest.fixture
def queries(pool: AsyncConnectionPool) -> Queries:
    return Queries(pool)

"""The pages are tried on the whole API: the fixtures of `tests/api`; and in a browser, if there is one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.conftest import house, house_with_webhooks, open_house, sandbox_url
from tests.api.house import House
from tests.web.shop import Shop, opened, require_chromium

__all__ = ["house", "house_with_webhooks", "open_house", "sandbox_url"]


@pytest.fixture
async def shop(house_with_webhooks: House) -> AsyncIterator[Shop]:
    """A house with listings, and a browser in front of it."""
    require_chromium()
    async with opened(house_with_webhooks) as one:
        yield one

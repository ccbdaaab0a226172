"""What the tests of privacy share: a marketplace as the API's tests have it."""

from __future__ import annotations

from tests.api.conftest import house, open_house, sandbox_url
from tests.backup.conftest import stagedoor

__all__ = ["house", "open_house", "sandbox_url", "stagedoor"]

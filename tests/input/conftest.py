"""A marketplace for each test, as `tests/api` has it; and one behind the real connection handling."""

from __future__ import annotations

from tests.api.conftest import house, open_house, sandbox_url

__all__ = ["house", "open_house", "sandbox_url"]

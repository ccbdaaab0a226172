"""The doors are tried on the whole API: the fixtures of `tests/api`."""

from tests.api.conftest import house, open_house, sandbox_url

__all__ = ["house", "open_house", "sandbox_url"]

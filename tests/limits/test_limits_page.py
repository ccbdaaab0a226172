"""docs/limits.md says what the code does."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from api.limits import Rule

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "limits.md").read_text()
ROWS = re.findall(r"^\|.*?\| (.*?) \| `((?:api|adapters|domain)\.\w+)\.([A-Z_]+)` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("said", "module", "name"), ROWS, ids=[name for _, _, name in ROWS])
def test_a_bound_is_the_one_in_the_code(said: str, module: str, name: str) -> None:
    value = getattr(importlib.import_module(module), name)
    if isinstance(value, Rule):
        assert said == f"{value.burst:,} at once, {value.per_second:,g}/s"
    else:
        assert re.search(rf"(?<![\d,.]){value:,.9g}(?![\d.]|,\d)", said), f"{name} is {value:,}"


def test_most_of_the_page_is_looked_at_and_every_test_it_names_is_there() -> None:
    assert len(ROWS) >= 35
    for path in set(re.findall(r"`(tests/[\w/.]+|docker/[\w.]+)`", PAGE)):
        assert (ROOT / path).exists(), path

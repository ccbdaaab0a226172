"""The table of guards is true of the tree; `make doors` takes them away one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doors.guards import GUARDS, Guard

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_stands_where_the_table_says(guard: Guard) -> None:
    for file, code, replacement in guard.edits:
        assert (ROOT / file).read_text().count(code) == 1, f"{file}: {code}"
        assert code != replacement
    assert guard.tests
    for test in guard.tests:
        path, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / path).read_text(), test


def test_each_has_a_name_of_its_own() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)


def test_every_guard_is_in_the_threat_model() -> None:
    told = " ".join((ROOT / "docs/security.md").read_text().split())
    assert [guard.name for guard in GUARDS if f"“{guard.name}”" not in told] == []

"""A finding is one line that says how to see it again; a flood of one kind does not hide the others."""

from __future__ import annotations

from pathlib import Path

from crash.context import SHOWN, Findings, Plan


def test_a_finding_says_how_to_see_it_again(tmp_path: Path) -> None:
    findings = Findings(Plan(7, tmp_path, "STAGEDOOR_BROKER=builtin make crash SEED=7 MINUTES=1.5"))
    findings.add("money is right", "order A was charged twice")
    [line] = findings.all()
    assert line.startswith("FOUND money is right: order A was charged twice | again: ")
    assert line.endswith("STAGEDOOR_BROKER=builtin make crash SEED=7 MINUTES=1.5")


def test_a_few_of_each_kind_are_shown(tmp_path: Path) -> None:
    findings = Findings(Plan(7, tmp_path, "make crash"))
    for number in range(100):
        findings.add("one", str(number))
    findings.add("other", "")
    assert len(findings.all()) == 101
    assert len(findings.some()) == SHOWN + 1

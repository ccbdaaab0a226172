"""The history as the linearizability checker gets it, and the checker itself on good and bad ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from crash import linear
from crash.evidence import deadlines, endings
from crash.history import BAD_CARD, EDIT, PAY, RESERVE, Try
from crash.linear import Step
from tests.crash.world import SECOND, good_log, good_tries, request

HOLDS = {"L": 46}


def steps(tries: list[Try]) -> list[Step]:
    return list(linear.steps(tries, HOLDS, deadlines(good_log()), endings(good_log())))


def of(found: list[Step], kind: str, order: str = "") -> Step:
    [step] = [one for one in found if one.kind == kind and one.order == order]
    return step


def test_operations_last_from_the_first_request_to_the_first_answer() -> None:
    found = steps(good_tries())
    assert of(found, "listing") == Step(kind="listing", listing="L", units=3)
    ordered = of(found, "reserve", "A")
    assert (ordered.call, ordered.returned, ordered.outcome, ordered.units) == (2 * SECOND, 5 * SECOND, "ok", 2)
    assert of(found, "pay", "A").charge == "ch_a"
    refused = of(found, "reserve")
    assert (refused.outcome, refused.units) == ("refused", 2)


def test_the_house_lets_expire_what_had_not_ended_by_its_deadline() -> None:
    found = steps(good_tries())
    expiry = of(found, "expire", "C")
    assert (expiry.call, expiry.returned) == (60 * SECOND, 61 * SECOND)
    assert not [one for one in found if one.kind == "expire" and one.order in ("A", "B")]


def test_an_order_whose_answer_was_lost_may_happen_at_any_time_and_expires_after_that() -> None:
    found = steps([good_tries()[0], request(2, RESERVE, 5, quantity=1, outcome="unknown", status=None)])
    ordered, expiry = of(found, "reserve", "unknown-2"), of(found, "expire", "unknown-2")
    assert (ordered.outcome, ordered.call, ordered.returned) == ("unknown", 5 * SECOND, None)
    assert (expiry.call, expiry.returned) == (51 * SECOND, None)


def test_what_changes_nothing_is_left_out_when_its_answer_was_lost() -> None:
    lost = {"outcome": "unknown", "status": None}
    found = steps([good_tries()[0], request(2, EDIT, 5, **lost), request(3, PAY, 7, order="A", card=BAD_CARD, **lost)])
    assert [one.kind for one in found] == ["listing"]


def require_go() -> None:
    """CI may lack it: then the whole run says that it was not checked."""
    if shutil.which("go") is None:
        pytest.skip("go is not on this machine")


@pytest.mark.long
def test_the_model_of_a_listing() -> None:
    require_go()
    done = subprocess.run(["go", "test", "./..."], cwd=linear.PROGRAM, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_a_good_history_is_linearizable_and_an_oversale_is_not(tmp_path: Path) -> None:
    require_go()
    linear.write(tmp_path / "good.jsonl", iter(steps(good_tries())))
    assert linear.check(tmp_path / "good.jsonl", tmp_path).code == linear.LINEARIZABLE
    oversale = request(11, RESERVE, 16, quantity=1, order="D", answer='{"id":"D"}')
    log = good_log()
    bad = linear.steps([*good_tries(), oversale], HOLDS, {**deadlines(log), "D": 60 * SECOND}, endings(log))
    linear.write(tmp_path / "bad.jsonl", bad)
    verdict = linear.check(tmp_path / "bad.jsonl", tmp_path)
    assert verdict.code == linear.ILLEGAL
    assert "ILLEGAL" in verdict.text
    assert "reserve D 1" in (tmp_path / "L.html").read_text()


def test_without_go_it_says_that_it_was_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    verdict = linear.check(tmp_path / "steps.jsonl", tmp_path)
    assert (verdict.code, verdict.text) == (None, "linearizability was NOT checked: `go` is not on this machine")

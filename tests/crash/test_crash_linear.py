"""The history as the linearizability checker gets it, and the checker itself on good and bad ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from crash import linear
from crash.evidence import Order, deadlines, endings
from crash.history import CANCEL, EDIT, GOOD_CARD, PAY, RESERVE, Try
from crash.linear import Known, Step
from tests.crash.world import SECOND, good_log, good_orders, good_tries, order, request

HOLDS = {"L": 46}


def known(*more: Order, due: dict[str, int] | None = None) -> Known:
    log = good_log()
    return Known((*good_orders(), *more), HOLDS, {**deadlines(log), **(due or {})}, endings(log))


def steps(tries: list[Try], *more: Order) -> list[Step]:
    return list(linear.steps(tries, known(*more)))


def of(found: list[Step], kind: str, of_order: str = "") -> Step:
    [step] = [one for one in found if one.kind == kind and one.order == of_order]
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
    lost = request(20, RESERVE, 5, quantity=5, outcome="unknown", status=None)
    found = steps([*good_tries(), lost], order("D", "expired", 5))
    ordered, expiry = of(found, "reserve", "unknown-20"), of(found, "expire", "unknown-20")
    assert (ordered.outcome, ordered.call, ordered.returned) == ("unknown", 5 * SECOND, None)
    assert (expiry.call, expiry.returned) == (51 * SECOND, None)


def test_what_did_not_happen_or_changed_nothing_is_left_out_when_its_answer_was_lost() -> None:
    lost = {"outcome": "unknown", "status": None}
    tries = [
        request(20, EDIT, 5, **lost),
        request(21, PAY, 7, order="C", card=GOOD_CARD, **lost),
        request(22, CANCEL, 9, order="C", **lost),
        request(24, CANCEL, 11, order="B", **lost),
        request(23, RESERVE, 11, quantity=5, **lost),
    ]
    assert steps([*good_tries(), *tries]) == steps(good_tries())


def test_what_may_have_happened_stays_when_its_answer_was_lost() -> None:
    lost = {"outcome": "unknown", "status": None}
    tries = [request(20, PAY, 7, order="A", card=GOOD_CARD, **lost), request(21, CANCEL, 9, order="B", **lost)]
    found = steps([*(one for one in good_tries() if one.kind != CANCEL), *tries])
    assert [(one.kind, one.order, one.returned) for one in found if one.outcome == "unknown"] == [
        ("pay", "A", None),
        ("cancel", "B", None),
    ]


def require_go() -> None:
    """CI may lack it, or the network for its one module: then the whole run says that it was not checked."""
    if shutil.which("go") is None:
        pytest.skip("go is not on this machine")
    if subprocess.run(["go", "mod", "download"], cwd=linear.PROGRAM, capture_output=True, check=False).returncode:
        pytest.skip("the checker's module cannot be fetched here")


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
    all_known = known(order("D", "expired"), due={"D": 60 * SECOND})
    linear.write(tmp_path / "bad.jsonl", linear.steps([*good_tries(), oversale], all_known))
    verdict = linear.check(tmp_path / "bad.jsonl", tmp_path)
    assert verdict.code == linear.ILLEGAL
    assert "ILLEGAL" in verdict.text
    assert "reserve D 1" in (tmp_path / "L.html").read_text()


def test_without_go_it_says_that_it_was_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    verdict = linear.check(tmp_path / "steps.jsonl", tmp_path)
    assert (verdict.code, verdict.text) == (None, "linearizability was NOT checked: `go` is not on this machine")

"""What the clients saw is kept as it was, and what belongs to one key is one operation."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from crash.client import outcome_of
from crash.history import CANCEL, PAY, RESERVE, Recorder, Try, operations
from tests.crash.world import good_tries, request


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    with (tmp_path / "history.jsonl").open("wb") as file:
        recorder = Recorder(file)
        assert [recorder.next_number(), recorder.next_number()] == [1, 2]
        for one in good_tries():
            recorder.keep(one)
    lines = (tmp_path / "history.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Try) for line in lines] == recorder.tries == good_tries()


def test_the_requests_under_one_key_are_one_operation_from_the_first_to_the_first_answer() -> None:
    found = next(one for one in operations(good_tries()) if one.kind == RESERVE)
    assert found.first.number == 2
    assert found.answered is not None
    assert found.answered.number == 3
    assert (found.outcome, found.order) == ("ok", "A")


def test_the_same_key_of_another_person_is_another_operation() -> None:
    tries = [request(1, RESERVE, 1, key="k"), request(2, RESERVE, 3, key="k", person=2)]
    assert len(operations(tries)) == 2


def test_what_was_not_begun_is_no_operation_and_what_was_unexpected_is_unknown() -> None:
    tries = [
        request(1, CANCEL, 1, outcome="nothing", status=None),
        request(2, CANCEL, 3, outcome="unexpected", status=500),
        request(3, PAY, 5, key="k", outcome="nothing", status=503),
        request(4, PAY, 7, key="k", outcome="unknown", status=None),
    ]
    assert [(one.first.number, one.outcome) for one in operations(tries)] == [(2, "unknown"), (3, "unknown")]


@pytest.mark.parametrize(
    ("kind", "status", "code", "outcome"),
    [
        (RESERVE, 201, None, "ok"),
        (RESERVE, 409, "sold_out", "refused"),
        (RESERVE, 503, "busy", "nothing"),
        (PAY, 503, "busy", "unknown"),
        (RESERVE, 503, "unavailable", "unknown"),
        (PAY, 503, "payment_unavailable", "unknown"),
        (PAY, 409, "idempotency_in_progress", "nothing"),
        (PAY, 402, "card_declined", "refused"),
        (RESERVE, 404, "ticket_not_found", "unexpected"),
        (RESERVE, 500, "internal_error", "unexpected"),
        (RESERVE, 502, None, "unexpected"),
    ],
)
def test_what_an_answer_says(kind: str, status: int, code: str | None, outcome: str) -> None:
    assert outcome_of(kind, status, code) == outcome

"""The load driver counts what happened, and latency from when a request was due."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from time import monotonic

import pytest

from bench.bare import bare_server
from bench.driver import Load, drive, drive_here, percentile_ms
from bench.requests import HELLO_GET, HELLO_POST
from tests.bench.stand_in import PING, StandIn, response, serving

STALL_SECONDS = 0.4
RATE = 200.0


@pytest.fixture(scope="module")
def bare_url() -> Iterator[str]:
    with bare_server() as url:
        yield f"{url}/hello"


def test_closed_loop_sends_every_request_once(bare_url: str) -> None:
    numbers: list[int] = []

    def request(number: int) -> bytes:
        numbers.append(number)
        return HELLO_POST(number)

    outcome = drive_here(Load(bare_url, 8, request, count=400))
    assert outcome.statuses == {201: 400}
    assert sorted(numbers) == list(range(400))
    assert len(outcome.latencies) == len(outcome.finished) == len(outcome.answers) == outcome.answered == 400
    assert outcome.elapsed_seconds == max(outcome.finished)
    assert outcome.per_second == pytest.approx(400 / outcome.elapsed_seconds)


def test_closed_loop_ends_when_time_is_up(bare_url: str) -> None:
    outcome = drive_here(Load(bare_url, 4, HELLO_GET, seconds=0.2))
    assert outcome.only(200) is outcome
    assert 0.1 < outcome.elapsed_seconds < 5.0


def test_open_loop_keeps_its_rate(bare_url: str) -> None:
    outcome = drive_here(Load(bare_url, 4, HELLO_GET, count=100, rate=500.0))
    assert outcome.statuses == {200: 100}
    assert outcome.elapsed_seconds >= 99 / 500


def test_open_loop_ends_when_time_is_up(bare_url: str) -> None:
    assert drive_here(Load(bare_url, 4, HELLO_GET, seconds=0.2, rate=500.0)).statuses == {200: 100}


def test_all_due_at_once_counts_from_the_start(bare_url: str) -> None:
    outcome = drive_here(Load(bare_url, 4, HELLO_GET, count=200, rate=float("inf")))
    assert outcome.statuses == {200: 200}
    assert outcome.latencies == outcome.finished


def test_drives_from_a_process_of_its_own(bare_url: str) -> None:
    began = monotonic()
    outcome = drive(Load(bare_url, 2, HELLO_POST, count=50))
    assert outcome.statuses == {201: 50}
    assert outcome.driver_cpu_share > 0
    assert began < outcome.started_at < monotonic()


def test_open_loop_charges_a_stall_to_everybody_who_was_due_meanwhile() -> None:
    with serving(StandIn(stalls={20: STALL_SECONDS})) as url:
        outcome = drive_here(Load(url, 8, PING, count=200, rate=RATE))
    assert outcome.statuses == {200: 200}
    late = sum(latency > STALL_SECONDS / 2 for latency in outcome.latencies)
    due_in_first_half = RATE * STALL_SECONDS / 2
    assert due_in_first_half * 0.8 <= late <= due_in_first_half * 4
    assert outcome.percentile_ms(99) > 1_000 * STALL_SECONDS * 0.8


def test_closed_loop_would_have_hidden_that_stall() -> None:
    with serving(StandIn(stalls={20: STALL_SECONDS})) as url:
        outcome = drive_here(Load(url, 1, PING, count=200))
    assert sum(latency > STALL_SECONDS / 2 for latency in outcome.latencies) <= 2
    assert outcome.percentile_ms(98) < 1_000 * STALL_SECONDS / 2


@pytest.mark.parametrize("rate", [None, 1_000.0, float("inf")])
def test_broken_connections_and_what_they_left_unanswered_are_counted(rate: float | None) -> None:
    began = monotonic()
    with serving(StandIn(closes_after=2)) as url:
        outcome = drive_here(Load(url, 3, PING, count=20, rate=rate, seconds=1.0))
    assert outcome.statuses[200] == 6
    assert outcome.statuses[0] == 3
    assert outcome.answered == 6
    assert monotonic() - began < 5, "it waited for answers that cannot come"
    with pytest.raises(RuntimeError, match="unexpected answers"):
        outcome.only(200)


def test_what_was_due_and_never_sent_is_unanswered() -> None:
    with serving(StandIn(closes_after=1)) as url:
        outcome = drive_here(Load(url, 2, PING, count=10, rate=float("inf")))
    assert outcome.statuses == {200: 2, 0: 2, -1: 8}


def test_refusals_that_do_not_say_when_to_come_again_are_counted() -> None:
    answers = [
        response(503, "full", "Retry-After: 1\r\n"),
        response(503, "Retry-After: 1"),
        response(409, "sold out"),
        response(201, "yours"),
    ]
    with serving(StandIn(answers)) as url:
        outcome = drive_here(Load(url, 1, PING, count=8))
    assert outcome.statuses == {503: 4, 409: 2, 201: 2}
    assert list(outcome.answers) == [503, 503, 409, 201] * 2
    assert outcome.bare_refusals == 2


def test_an_answer_may_come_in_pieces() -> None:
    with serving(StandIn(in_pieces=True)) as url:
        assert drive_here(Load(url, 2, PING, count=20)).statuses == {200: 20}


def test_nobody_listens() -> None:
    with serving(StandIn()) as url:
        pass
    with pytest.raises(OSError, match="refused"):
        drive_here(Load(url, 1, PING, count=1))


def test_percentiles() -> None:
    seconds = [number / 1_000 for number in range(100, 0, -1)]
    assert percentile_ms(seconds, 50) == 51
    assert percentile_ms(seconds, 99) == 100
    assert percentile_ms(seconds, 100) == 100
    assert isnan(percentile_ms([], 50))

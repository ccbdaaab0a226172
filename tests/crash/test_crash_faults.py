"""The seed decides which faults come, and each kind comes soon."""

from __future__ import annotations

from itertools import islice, pairwise

from click.testing import CliRunner

from crash.__main__ import main
from crash.faults import KINDS, MOST_APART_SECONDS, MOST_PAUSE_SECONDS, PAUSE, schedule


def test_the_same_seed_is_the_same_schedule_and_another_one_another() -> None:
    first, again, other = (list(islice(schedule(seed), 40)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_every_fault_comes_once_before_any_comes_again_and_no_part_is_hit_twice_in_a_row() -> None:
    faults = list(islice(schedule(7), 10 * len(KINDS)))
    for begin in range(0, len(faults), len(KINDS)):
        deck = faults[begin : begin + len(KINDS)]
        assert {(fault.kind, fault.part) for fault in deck} == set(KINDS)
    assert all(one.part != after.part for one, after in pairwise(faults))


def test_faults_and_pauses_are_bounded() -> None:
    for fault in islice(schedule(7), 200):
        assert 0 < fault.after_seconds <= MOST_APART_SECONDS
        assert (0 < fault.lasting_seconds <= MOST_PAUSE_SECONDS) == (fault.kind == PAUSE)


def test_wrong_use_is_one_line_and_exit_code_2() -> None:
    for arguments in (["--minutes", "0"], ["--seed", "-1"], ["--broker", "rabbit"]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2
        assert "Error: Invalid value" in done.output

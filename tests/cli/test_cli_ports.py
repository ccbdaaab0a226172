"""Ports for the embedded servers."""

from __future__ import annotations

import random
import socket

import pytest

from cli.embedded.ports import free_port


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is drawn, in turn."""
    taken = free_port()
    ports = [taken, free_port(taken)]
    left = iter(ports)
    monkeypatch.setattr(random, "randint", lambda _lowest, _highest: next(left))
    return ports


def test_a_port_that_somebody_is_going_to_have_is_left_to_them(drawn: list[int]) -> None:
    assert free_port(drawn[0]) == drawn[1]


def test_a_port_that_somebody_has_is_passed_over(drawn: list[int]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", drawn[0]))
        assert free_port() == drawn[1]

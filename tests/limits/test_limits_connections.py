"""Slow, silent and greedy clients on real sockets: each is cut within a stated time, and there is room for others."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec
import pytest

from api import bodies, connections, protocol
from tests.limits.door import Door, drip_until_closed, one_answer, open_door, until_closed

GET = b"GET /small/1 HTTP/1.1\r\nHost: x\r\n\r\n"
DRIP = b"X-A: b\r\n"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times short enough to be waited for, each told apart from the others."""
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.8)
    monkeypatch.setattr(protocol, "KEEPALIVE_SECONDS", 2.4)
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 1.0)
    monkeypatch.setattr(protocol, "CLOSING_SECONDS", 1.0)
    monkeypatch.setattr(protocol, "LINGERING_SECONDS", 0.6)
    monkeypatch.setattr(bodies, "BODY_SECONDS", 1.0)


def test_slow_and_silent_clients_are_cut_in_time() -> None:
    post = b"POST /body HTTP/1.1\r\nHost: x\r\n"
    attacks: dict[str, tuple[bytes, bytes, float]] = {
        "silent": (b"", b"", 0.8),
        "slow head": (b"GET /small/1 HTTP/1.1\r\nHost: x\r\n", DRIP, 0.8),
        "slow second head": (GET + b"GET /small/2 HTTP/1.1\r\nHost: x\r\n", DRIP, 0.8),
        "slow request line": (b"GET /", b"a", 0.8),
        "idle": (GET, b"", 2.4),
        "slow body": (post + b"Content-Length: 1000\r\n\r\n", b"x", 1.0),
        "slow chunks": (post + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 1.0),
        "endless chunk extension": (post + b"Transfer-Encoding: chunked\r\n\r\n1;a=", b"b" * 1_000, 1.0),
        "body that nobody reads": (GET[:-2] + b"Content-Length: 1000000\r\n\r\n", b"x", 0.6),
    }
    with open_door() as door, ThreadPoolExecutor(len(attacks)) as pool:

        def attack(name: str) -> tuple[bytes, float]:
            first, drip, _ = attacks[name]
            with door.connect() as connection:
                connection.sendall(first)
                return drip_until_closed(connection, drip)

        ends = dict(zip(attacks, pool.map(attack, attacks), strict=True))
        assert len(door.connections) == 0
    for name, (_, _, seconds) in attacks.items():
        assert seconds - 0.2 < ends[name][1] < seconds + 1.4, (name, ends[name])
    for name in ("slow body", "slow chunks", "endless chunk extension"):
        assert ends[name][0].startswith(b"HTTP/1.1 408 "), (name, ends[name])
        assert msgspec.json.decode(ends[name][0].partition(b"\r\n\r\n")[2])["code"] == "request_timeout"
    for name in ("slow second head", "idle", "body that nobody reads"):
        assert ends[name][0].startswith(b"HTTP/1.1 200 ")


def test_who_sends_a_body_slowest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 5.0)
    head = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
    with open_door(max_bodies=2) as door:
        slow = [door.connect() for _ in range(2)]
        for one in slow:
            one.sendall(head + b"x")
            time.sleep(0.05)
        with door.connect() as good:
            good.sendall(head)
            assert until_closed(slow[0]).startswith(b"HTTP/1.1 408 ")
            good.sendall(b"xy")
            assert one_answer(good).endswith(b"\r\n2")
        slow[1].sendall(b"y")
        assert one_answer(slow[1]).endswith(b"\r\n2"), "the other one keeps its place"
        for one in slow:
            one.close()


def test_a_later_request_may_come_late_and_its_body_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a slow head is must not be mistaken: neither the silence before it nor the body of the request before."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 5.0)
    with open_door() as door, door.connect() as connection:
        for _ in range(2):
            connection.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n")
            for _ in range(4):
                time.sleep(0.22)
                connection.sendall(b"xy")
            assert one_answer(connection).startswith(b"HTTP/1.1 200 ")
            time.sleep(1.2)  # longer than a head may take, shorter than the silence between two requests
        connection.sendall(GET)
        assert one_answer(connection).endswith(b"/small/1")


def test_who_reads_no_answer_is_cut() -> None:
    with open_door() as door, door.connect(receive_bytes=4_096) as connection:
        connection.sendall(b"GET /large/30000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        door.await_connections(1)
        assert door.await_connections(0) < 4.0


def test_who_reads_no_answers_is_not_asked_for_more() -> None:
    """Requests one after another, answers unread: the server begins no next one while an answer waits."""
    with open_door() as door, door.connect(receive_bytes=4_096) as connection:
        connection.settimeout(0.3)
        with suppress(TimeoutError, ConnectionError):
            for _ in range(10_000):
                connection.sendall(b"GET /large/2000000 HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        door.await_connections(0)


def test_answers_that_nobody_takes_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_UNSENT_BYTES", 50_000_000)
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 5.0)
    ask = b"GET /large/30000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with open_door() as door, door.connect() as first, door.connect() as second:
        first.sendall(ask)
        door.await_connections(2)
        time.sleep(0.2)
        second.sendall(ask)
        assert door.await_connections(1) < 2.5, "the second is too much"
        assert len(until_closed(first)) > 30_000_000, "the first still gets all of it"
        assert door.connections._unsent_bytes == 0
        assert len(door.exchange(ask)) > 30_000_000


def test_who_reads_slowly_but_steadily_is_served() -> None:
    with open_door() as door, door.connect() as connection:
        connection.sendall(b"GET /large/30000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        began, received = time.monotonic(), 0
        while piece := connection.recv(200_000):
            received += len(piece)
            time.sleep(0.02 if time.monotonic() - began < 2.2 else 0.0)
        assert received > 30_000_000
        assert time.monotonic() - began > 2.1
    assert door.connections._unsent_bytes == 0


def test_who_reads_next_to_nothing_is_cut() -> None:
    with open_door() as door, door.connect(receive_bytes=4_096) as connection:
        connection.sendall(b"GET /large/30000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        ended = time.monotonic() + 2.0
        with suppress(ConnectionError):
            while time.monotonic() < ended:
                connection.recv(100)
                time.sleep(0.1)
        door.await_connections(0)


def test_a_closed_connection_whose_last_answer_is_not_taken_is_cut() -> None:
    with open_door() as door, door.connect(receive_bytes=2_048) as connection:
        connection.sendall(b"GET /narrow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        door.await_connections(1)
        time.sleep(0.3)
        assert len(door.connections) == 1, "it is still being closed"
        assert door.await_connections(0) < 4.0


def test_who_says_no_more_is_not_kept() -> None:
    with open_door() as door, door.connect() as connection:
        connection.sendall(b"GET /small")
        connection.shutdown(socket.SHUT_WR)
        assert until_closed(connection) == b""
        assert door.await_connections(0) < 0.6


def test_what_is_no_http_leaves_nothing_for_the_collector() -> None:
    """Ten thousand such connections would be a gigabyte until it came."""
    with open_door() as door:
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                assert door.exchange(b"\0" * 1_000).startswith(b"HTTP/1.0 400 ")
            door.await_connections(0)
            time.sleep(0.1)
            left = sum(isinstance(one, protocol.Protocol) for one in gc.get_objects())
        finally:
            gc.enable()
    assert left <= 1


def turned_away(said: bytes) -> bool:
    head, _, body = said.partition(b"\r\n\r\n")
    return (
        head.startswith(b"HTTP/1.1 503 ")
        and b"\r\nRetry-After: 1" in head
        and b"\r\nConnection: close" in head
        and msgspec.json.decode(body)["code"] == "busy"
    )


def test_beyond_the_bound_one_is_told_so_and_beyond_that_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_TURNED_AWAY", 1)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 5.0)
    with open_door(most=2) as door:
        first, second, third = (door.connect() for _ in range(3))
        door.await_connections(3)
        with door.connect() as fourth:
            assert until_closed(fourth) == b""
        third.sendall(GET)
        assert turned_away(until_closed(third))
        door.await_connections(2)
        assert turned_away(door.exchange(GET)), "there is room again to be told so"
        first.close()
        door.await_connections(1)
        with door.connect() as another:
            another.sendall(GET)
            assert one_answer(another).startswith(b"HTTP/1.1 200 ")
        second.sendall(GET)
        assert one_answer(second).startswith(b"HTTP/1.1 200 "), "who was there is served all the time"
        second.close()
        third.close()


def served(door: Door, source: str) -> socket.socket | None:
    connection = door.connect(source)
    connection.sendall(GET)
    said = one_answer(connection)
    if said.startswith(b"HTTP/1.1 200 "):
        return connection
    assert turned_away(said)
    connection.close()
    return None


def test_one_address_does_not_take_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "KEEPALIVE_SECONDS", 30.0)
    with open_door(per_address=2, trusted="127.0.0.9") as door:
        greedy = [served(door, "127.0.0.2") for _ in range(3)]
        assert [one is not None for one in greedy] == [True, True, False]
        other = served(door, "127.0.0.3")
        assert other is not None
        proxied = [served(door, "127.0.0.9") for _ in range(4)]
        assert None not in proxied, "a proxy brings everybody"
        assert greedy[0] is not None
        greedy[0].close()
        door.await_connections(6)
        again = served(door, "127.0.0.2")
        assert again is not None
        for one in (*greedy, other, *proxied, again):
            if one is not None:
                one.close()
        door.await_connections(0)
        assert not door.connections._of_network, "what is over is forgotten"


def test_who_waits_for_nothing_makes_room_when_places_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CROWDED_IDLE_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "KEEPALIVE_SECONDS", 30.0)
    with open_door(most=8, trusted="127.0.0.9") as door:
        kept = [served(door, "127.0.0.9"), *(served(door, "127.0.0.2") for _ in range(4))]
        time.sleep(0.5)
        assert len(door.connections) == 5, "there is room enough"
        busy = door.connect()
        busy.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert door.await_connections(2) < 5.0, "of the others the proxy's and the one that is served stay"
        assert one_answer(busy).startswith(b"HTTP/1.1 200 ")
        for one in (*kept, busy):
            if one is not None:
                one.close()


@pytest.mark.parametrize(("soft", "hard", "expected"), [(256, 4_096, 3_696), (256, 256, 128), (64, 20_000, 10_000)])
def test_there_are_no_more_than_there_are_files_for(soft: int, hard: int, expected: int) -> None:
    script = (
        "import resource;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}));"
        "from api.connections import _most_connections; print(_most_connections())"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert int(said) == expected

"""The marketplace as a user starts it: `stagedoor up` on both brokers, with faults and restarts of real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.listeners import listening_addresses, open_to_others, tree_of
from tests.e2e.up import Up, eventually

BROKERS = (pytest.param("apache", marks=pytest.mark.long), "builtin")


def require(command: str) -> None:
    """CI has everything and fails without it; a developer's machine may lack it."""
    if shutil.which(command) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{command} is required where CI runs")
        pytest.skip(f"{command} is not on this machine")


@pytest.fixture(params=BROKERS)
def up(request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    if request.param == "apache":
        require("java")
        require("mvn")
    # The jars are fetched once for all tests.
    libs = os.environ.get("STAGEDOOR_KAFKA_LIBS") or str(tmp_path_factory.getbasetemp() / "kafka-libs")
    started = Up(tmp_path / "data", request.param, STAGEDOOR_KAFKA_LIBS=libs)
    started.start()
    yield started
    started.ensure_ended()


def test_the_contract_holds_and_the_log_verifies(up: Up) -> None:
    smoke = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("smoke.py")), up.url],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert smoke.returncode == 0, smoke.stdout[-3000:]
    assert smoke.stdout.rstrip().endswith(" 0 failed")
    listening = listening_addresses(tree_of(json.loads((up.data_dir / "running.json").read_text())["pid"]))
    assert {address for address, _ in listening if not ip_address(address).is_loopback} == set(), listening
    assert open_to_others(up.data_dir) == []

    events = _read_topic(up, "stagedoor.orders")
    assert {"OrderCreated", "OrderCompleted", "OrderExpired", "ChargeFailed"} <= {event["type"] for event in events}
    assert all(event["specversion"] == "1.0" for event in events)
    _assert_sequences_without_gaps(events)

    verified = up.command("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert up.stop() == 0

    # Everything that was there is there again, also where the broker kept nothing.
    up.start()
    seller = up.sign_up("seller")
    ticket_id = up.list_ticket(seller)
    eventually(lambda: up.call("GET", f"/api/tickets/{ticket_id}").body, lambda body: body.get("id") == ticket_id)
    assert up.command("verify").returncode == 0
    assert up.stop(signal.SIGINT) == 0


def test_with_kafka_stopped_orders_and_payments_go_on_and_read_models_catch_up(up: Up) -> None:
    seller, buyer = up.sign_up("seller"), up.sign_up("buyer")
    ticket_id = up.list_ticket(seller)
    eventually(lambda: up.call("GET", "/api/tickets").body["items"], bool)
    up.signal_part("broker", signal.SIGSTOP)
    order = up.order(buyer, ticket_id, 2)
    assert order.status == 201
    paid = up.pay(buyer, order.body["id"])
    assert (paid.status, paid.body["status"]) == (201, "succeeded")
    assert up.call("DELETE", f"/api/orders/{up.order(buyer, ticket_id).body['id']}", token=buyer).status == 200
    up.signal_part("broker", signal.SIGCONT)
    listed = eventually(
        lambda: up.call("GET", "/api/tickets?q=semi-final").body["items"][0], lambda t: t["sold"] == 2, 60
    )
    assert (listed["available"], listed["held"]) == (3, 0)


class Shoppers:
    """Buyers that go on through every fault and remember what they were promised."""

    def __init__(self, up: Up, people: int) -> None:
        self._up = up
        self._end = threading.Event()
        self.orders: dict[str, str] = {}
        self.paid: set[str] = set()
        self.ticket_id = up.list_ticket(up.sign_up("seller"), quantity=100_000, hold_seconds=600)
        self._threads = [threading.Thread(target=self._shop, args=(up.sign_up(f"b{n}"),)) for n in range(people)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _shop(self, token: str) -> None:
        while not self._end.is_set():
            key = uuid4().hex
            try:
                order = self._up.order(token, self.ticket_id, 1, key)
                if order.status != 201:
                    continue
                self.orders[order.body["id"]] = token
                again = self._up.order(token, self.ticket_id, 1, key)
                assert again.status != 201 or again.body["id"] == order.body["id"], "one key, two orders"
                paid = self._up.pay(token, order.body["id"])
                if paid.status == 201 and paid.body["status"] == "succeeded":
                    self.paid.add(order.body["id"])
            except OSError:
                time.sleep(0.1)  # refused or cut: the fault of the moment


@pytest.mark.long
def test_kill_9_of_worker_relay_and_the_whole_tree_loses_nothing_that_was_answered(up: Up) -> None:
    shoppers = Shoppers(up, people=4)
    try:
        eventually(lambda: len(shoppers.paid), lambda count: count >= 20)
        up.signal_part("worker", signal.SIGKILL)
        time.sleep(1)
        up.signal_part("relay", signal.SIGKILL)
        time.sleep(1)
        up.signal_part("api", signal.SIGKILL)
        before = len(shoppers.paid)
        eventually(lambda: len(shoppers.paid), lambda count: count >= before + 20, 30)
        up.kill_the_whole_tree()
        up.start()
        before = len(shoppers.paid)
        eventually(lambda: len(shoppers.paid), lambda count: count >= before + 10, 30)
    finally:
        shoppers.stop()
    verified = up.command("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    for order_id, token in shoppers.orders.items():
        order = up.call("GET", f"/api/orders/{order_id}", token=token)
        assert order.status == 200
        if order_id in shoppers.paid:
            assert order.body["status"] == "completed"
    completed = [order for order in _orders_of(up, shoppers) if order["status"] == "completed"]
    ticket = up.call("GET", f"/api/tickets/{shoppers.ticket_id}").body
    assert ticket["sold"] == len(completed)
    _assert_sequences_without_gaps(_read_topic(up, "stagedoor.tickets"))


def _orders_of(up: Up, shoppers: Shoppers) -> list[dict[str, Any]]:
    orders: list[dict[str, Any]] = []
    for token in set(shoppers.orders.values()):
        cursor = ""
        while True:
            page = up.call("GET", f"/api/orders?limit=100{cursor}", token=token).body
            orders += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
    return orders


def _read_topic(up: Up, topic: str) -> list[dict[str, Any]]:
    """The topic as a client nobody here wrote reads it."""
    require("kcat")
    read = subprocess.run(
        ["kcat", "-C", "-b", up.bootstrap_servers(), "-t", topic, "-e", "-q", "-o", "beginning"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in read.stdout.splitlines()]


def _assert_sequences_without_gaps(events: list[dict[str, Any]]) -> None:
    """An event may come again (at least once), never early, never not at all."""
    last: dict[str, int] = {}
    for event in events:
        assert event["sequence"] <= last.get(event["subject"], 0) + 1, event
        last[event["subject"]] = max(event["sequence"], last.get(event["subject"], 0))
    assert last

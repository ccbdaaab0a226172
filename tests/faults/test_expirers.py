"""Fault 17: two workers end orders at their deadline, while their buyers pay and others want the same seats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

import pytest

from tests.e2e.up import Up, eventually
from tests.faults.client import Client
from tests.streams.parts import Part, is_projected, parts, rows

ORDERS = 24
HOLD_SECONDS = 2
PAYMENT_MS = 150
"""What Stripe takes to charge a card here: long enough for a deadline to pass meanwhile."""

pytestmark = pytest.mark.long


@pytest.fixture
def second_worker(up: Up, tmp_path: Path) -> Iterator[Part]:
    """Beside the one that `up` has."""
    running = json.loads((up.data_dir / "running.json").read_text())
    names = ("database_url", "kafka_bootstrap_servers", "stripe_secret_key", "stripe_webhook_secret", "stripe_api_base")
    with parts() as started:
        worker = Part("worker-2", tmp_path, **{name.upper(): running[name] for name in names})
        started.append(worker.start())
        eventually(lambda: worker.said("worker started"), bool)
        yield worker
        worker.stop()


def sandbox(up: Up, method: str, path: str, body: Any = None) -> Any:
    base = json.loads((up.data_dir / "running.json").read_text())["stripe_api_base"]
    answer = Client(base).call(method, f"/_sandbox{path}", body)
    assert answer.status == 200, answer
    return answer.body


def test_a_payment_at_the_deadline_has_one_end(up: Up, second_worker: Part) -> None:
    client, random = Client(up.url), Random(17)
    database_url = json.loads((up.data_dir / "running.json").read_text())["database_url"]
    seller, rival = client.sign_up("seller"), client.sign_up("rival")
    buyers = [client.sign_up() for _ in range(4)] * (ORDERS // 4)
    tickets = [client.list_ticket(seller, quantity=1, hold_seconds=HOLD_SECONDS) for _ in range(ORDERS)]
    before = sandbox(up, "GET", "/state")
    sandbox(up, "POST", "/faults", {"delay_ms": PAYMENT_MS})

    def race(ticket_id: str, buyer: str, pays_after: float) -> str:
        order = client.order(buyer, ticket_id)
        assert order.status == 201
        ordered_at = monotonic()
        with ThreadPoolExecutor(1) as other:
            wanting = other.submit(want, ticket_id, ordered_at + HOLD_SECONDS + 1.5)
            sleep(pays_after)
            paid = client.pay(buyer, order.body["id"])
            assert paid.status in (201, 409), paid
            wanting.result()
        return str(order.body["id"])

    def want(ticket_id: str, until: float) -> None:
        while monotonic() < until:
            answer = client.order(rival, ticket_id)
            assert answer.status in (201, 409), answer
            sleep(0.05)

    with ThreadPoolExecutor(ORDERS) as pool:
        # Two steps at Stripe come before the charge, each as slow: the charge falls around the deadline.
        times = [HOLD_SECONDS - 3 * PAYMENT_MS / 1_000 + random.uniform(-0.4, 0.4) for _ in range(ORDERS)]
        times[:2], times[-2:] = [0.0, 0.0], [HOLD_SECONDS + 0.5] * 2  # of either kind some for certain
        raced = [pool.submit(race, *one) for one in zip(tickets, buyers, times, strict=True)]
        orders = [one.result() for one in raced]
    sandbox(up, "DELETE", "/faults")

    def settled() -> bool:
        due = rows(
            database_url,
            "SELECT count(*) FROM buyer_orders WHERE"
            " (status IN ('created', 'awaiting_payment') AND expires_at < now() + interval '5 seconds')"
            " OR moves_due > 0",
        )
        return bool(is_projected(database_url) and due == [(0,)])

    eventually(settled, bool, 30)
    ends = {order_id: history(database_url, order_id) for order_id in orders}
    completed = [order_id for order_id, types in ends.items() if "Completed" in types]
    for order_id, types in ends.items():
        assert types.count("Completed") + types.count("RefundCreated") == types.count("ChargeCreated") <= 1, types
        assert types.count("Expired") <= 1, types
        assert types.count("Completed") + types.count("Expired") >= 1, (order_id, types)
    for ticket_id in tickets:
        assert client.call("GET", f"/api/tickets/{ticket_id}").body["sold"] <= 1
    after = sandbox(up, "GET", "/state")
    charged = after["charges"]["succeeded"] - before["charges"]["succeeded"]
    assert charged - (after["refunds"] - before["refunds"]) == len(completed)
    assert 0 < len(completed) < ORDERS, "deadline and payment really met"
    verified = up.command("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def history(database_url: str, order_id: str) -> list[str]:
    found = rows(
        database_url, "SELECT topic FROM stored_events WHERE originator_id = %s ORDER BY originator_version", order_id
    )
    return [row[0].removeprefix("stagedoor.Order.") for row in found]

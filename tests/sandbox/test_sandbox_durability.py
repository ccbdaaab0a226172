"""What was answered is there after SIGKILL; one process owns the state; the server ends cleanly."""

from __future__ import annotations

import http.client
import signal
import sqlite3
import threading
import time
from pathlib import Path

import stripe

from tests.sandbox.harness import Sandbox


def test_every_answered_charge_survives_sigkill(state_path: Path) -> None:
    succeeded: list[tuple[str, str]] = []

    def buy(sandbox: Sandbox) -> None:
        client = stripe.StripeClient("sk_test_sandbox", base_addresses={"api": sandbox.url}, max_network_retries=0)
        try:
            while True:
                intent = client.v1.payment_intents.create(
                    {"amount": 100, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
                )
                succeeded.append((intent.id, str(intent.latest_charge)))
        except stripe.APIConnectionError:
            return  # killed

    with Sandbox(state_path) as sandbox:
        for _ in range(2):
            before = len(succeeded)
            buyers = [threading.Thread(target=buy, args=(sandbox,)) for _ in range(6)]
            for buyer in buyers:
                buyer.start()
            while len(succeeded) <= before + 50:
                assert any(buyer.is_alive() for buyer in buyers)
                time.sleep(0.02)
            sandbox.kill()
            for buyer in buyers:
                buyer.join(timeout=20)
            sandbox.restart()

            kept = {intent.id: intent for intent in sandbox.intents.list({"limit": 100}).auto_paging_iter()}
            for intent_id, charge_id in succeeded:
                assert (kept[intent_id].status, kept[intent_id].latest_charge) == ("succeeded", charge_id)
            # What was cut off was done whole or not at all.
            assert {intent.status for intent in kept.values()} == {"succeeded"}
            state = sandbox.state()
            assert state["payment_intents"] == state["charges"]["succeeded"] == len(kept)
            assert state["captured"] == {"eur": 100 * len(kept)}
            assert state["events"] == 3 * len(kept)


def test_ids_go_on_growing_after_a_restart(state_path: Path) -> None:
    with Sandbox(state_path) as sandbox:
        first = sandbox.new_intent().id
        assert sandbox.stop() == 0
        sandbox.restart()
        second = sandbox.new_intent().id
        assert [intent.id for intent in sandbox.intents.list().data] == [second, first]


def test_sigterm_and_sigint_end_it_with_clients_connected(state_path: Path) -> None:
    with Sandbox(state_path) as sandbox:
        for stop_signal in (signal.SIGTERM, signal.SIGINT):
            idle = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=5)
            idle.request("GET", "/healthz")
            assert idle.getresponse().read()
            sandbox.process.send_signal(stop_signal)
            _, errors = sandbox.process.communicate(timeout=10)
            assert (sandbox.process.returncode, errors) == (0, b"")
            idle.close()
            assert [path.name for path in state_path.parent.iterdir()] == [state_path.name]
            sandbox.restart()


def test_a_second_process_on_the_same_state_is_refused(state_path: Path) -> None:
    with Sandbox(state_path) as sandbox:
        sandbox.new_intent()
        second = sandbox.spawn()
        _, errors = second.communicate(timeout=20)
        assert second.returncode != 0
        assert b"StoreError" in errors
        assert b"locked" in errors
        assert sandbox.new_intent().status == "requires_payment_method"


def test_it_listens_on_the_given_host_only(state_path: Path) -> None:
    with Sandbox(state_path) as sandbox:
        listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        mine = [fields[1] for fields in listening if fields[3] == "0A" and fields[1].endswith(f":{sandbox.port:04X}")]
        assert mine == [f"0100007F:{sandbox.port:04X}"]
        everywhere = Path("/proc/net/tcp6")
        assert not everywhere.exists() or f":{sandbox.port:04X} 0000" not in everywhere.read_text()


def test_a_file_from_before_there_were_balances_is_filled_in(state_path: Path) -> None:
    """`state_version_1.sql` is what a sandbox of that version had written: two charges, one refunded by €10."""
    state_path.parent.mkdir()
    with sqlite3.connect(state_path) as old:
        old.executescript((Path(__file__).parent / "state_version_1.sql").read_text())
    old.close()
    with Sandbox(state_path) as sandbox:
        available = {money.currency: money.amount for money in sandbox.stripe.v1.balance.retrieve().available}
        assert available == {"eur": 2500 - 63 - 1000, "usd": 100 - 27}
        charges = {charge.amount: charge for charge in sandbox.stripe.v1.charges.list().data}
        assert charges[700].balance_transaction is None
        booked = sandbox.stripe.v1.balance_transactions.list().data
        assert [(one.type, one.net) for one in booked] == [("charge", 73), ("refund", -1000), ("charge", 2437)]
        assert booked[2].id == charges[2500].balance_transaction
        assert sandbox.stripe.v1.refunds.list().data[0].balance_transaction == booked[1].id
        assert sandbox.stripe.v1.refunds.create({"charge": charges[2500].id}).amount == 1500
        sandbox.kill()
        sandbox.restart()
        available = {money.currency: money.amount for money in sandbox.stripe.v1.balance.retrieve().available}
        assert available == {"eur": -63, "usd": 73}

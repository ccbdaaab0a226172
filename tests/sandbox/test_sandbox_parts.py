"""The parts that need no server: the store's transactions, ids, pruning, signatures."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from sandbox import events, idempotency, webhooks
from sandbox.events import Events
from sandbox.idempotency import KEPT_SECONDS, IdempotencyKeys, SavedAnswer
from sandbox.ids import Ids, moment_of
from sandbox.server import make_app
from sandbox.store import Store, StoreError
from sandbox.webhooks import signature
from tests.sandbox.harness import listening


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.sqlite3")


def intent(store: Store) -> dict[str, object]:
    return {"id": store.ids.new("pi"), "created": 1, "filler": "x" * 2000}


async def test_a_unit_is_done_whole_or_not_at_all(store: Store) -> None:
    kept, dropped = intent(store), intent(store)
    with store.unit():
        store.insert("payment_intents", kept)

    def fail_half_way() -> None:
        with store.unit():
            store.insert("payment_intents", dropped)
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    await store.committed()
    assert store.get("payment_intents", str(kept["id"])) == kept
    assert store.get("payment_intents", str(dropped["id"])) is None


async def test_units_of_one_turn_share_a_commit(store: Store) -> None:
    commits: list[None] = []
    store.on_commit(lambda: commits.append(None))

    async def write() -> None:
        with store.unit():
            store.insert("payment_intents", intent(store))
        await store.committed()

    await asyncio.gather(*(write() for _ in range(50)))
    assert len(commits) == 1


async def test_a_full_disk_fails_everyone_in_the_turn_and_then_heals(store: Store) -> None:
    with store.unit():
        store.insert("payment_intents", intent(store))
    await store.committed()
    pages = store.read("PRAGMA page_count")[0][0]
    store.read(f"PRAGMA max_page_count={pages + 2}")

    async def write() -> None:
        with store.unit():
            store.insert("payment_intents", intent(store))
        await store.committed()

    outcomes = await asyncio.gather(*(write() for _ in range(20)), return_exceptions=True)
    assert any(isinstance(outcome, StoreError) for outcome in outcomes)
    answered = sum(outcome is None for outcome in outcomes)
    assert store.read("SELECT count(*) FROM payment_intents") == [(1 + answered,)]

    store.read("PRAGMA max_page_count=1000000")
    await write()
    assert store.read("SELECT count(*) FROM payment_intents") == [(2 + answered,)]


async def test_one_cancelled_waiter_does_not_hurt_the_others(store: Store) -> None:
    async def write() -> None:
        with store.unit():
            store.insert("payment_intents", intent(store))
        await store.committed()

    impatient, patient = asyncio.create_task(write()), asyncio.create_task(write())
    await asyncio.sleep(0)  # both are waiting now for the commit, which comes in the next turn
    impatient.cancel()
    await patient
    assert impatient.cancelled()
    assert store.read("SELECT count(*) FROM payment_intents") == [(2,)]


async def test_no_answer_leaves_before_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(state_path=tmp_path / "s", secret_key="sk_test_1", webhook_url=None, webhook_secret="whsec_1")
    write = Store.write

    def refuse_commit(store: Store, statement: str, values: tuple[Any, ...] = ()) -> int:
        if statement == "COMMIT":
            raise StoreError("the disk is full")
        return write(store, statement, values)

    headers = {"Authorization": "Bearer sk_test_1", "Idempotency-Key": "k"}
    form = {"amount": "100", "currency": "eur", "payment_method": "pm_card_visa", "confirm": "true"}
    async with TestClient(TestServer(app)) as client:
        with monkeypatch.context() as patch:
            patch.setattr(Store, "write", refuse_commit)
            async with client.post("/v1/payment_intents", data=form, headers=headers) as answer:
                assert (answer.status, (await answer.json())["error"]["type"]) == (500, "api_error")
        async with client.get("/_sandbox/state") as answer:
            assert (await answer.json())["payment_intents"] == 0
        async with client.post("/v1/payment_intents", data=form, headers=headers) as answer:
            assert (await answer.json())["status"] == "succeeded"
            assert "Idempotent-Replayed" not in answer.headers


async def test_a_programming_error_is_answered_and_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(state_path=tmp_path / "s", secret_key="sk_test_1", webhook_url=None, webhook_secret="whsec_1")
    headers = {"Authorization": "Bearer sk_test_1"}
    form = {"amount": "100", "currency": "eur", "payment_method": "pm_card_visa", "confirm": "true"}
    async with TestClient(TestServer(app)) as client:
        with monkeypatch.context() as patch:
            patch.setattr("sandbox.attempts.charge_card", lambda *_: 1 // 0)
            async with client.post("/v1/payment_intents", data=form, headers=headers) as answer:
                assert (answer.status, (await answer.json())["error"]["type"]) == (500, "api_error")
        async with client.get("/_sandbox/state") as answer:
            assert (await answer.json())["payment_intents"] == 0


def test_a_file_of_another_program_or_version_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("nothing to do with it, and long enough to be looked at closely " * 10)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        Store(foreign)
    newer = tmp_path / "newer.sqlite3"
    with sqlite3.connect(newer) as other:
        other.execute("PRAGMA user_version=99")
    other.close()
    with pytest.raises(StoreError, match="version 99"):
        Store(newer)


def test_ids_grow_even_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = Ids()
    made = [ids.new("pi") for _ in range(100)]
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - 300 * 10**9)
    made += [ids.new("pi") for _ in range(100)]
    made += [Ids(after=moment_of(made[-1])).new("pi")]
    assert made == sorted(set(made))
    assert {len(identifier) for identifier in made} == {27}


async def test_old_events_are_pruned_but_none_that_is_pending(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENTS_KEPT", 40)
    monkeypatch.setattr(events, "PRUNE_EVERY", 10)
    log = Events(store, wanted=["charge.failed"])
    with store.unit():
        for number in range(200):
            event_type = "charge.failed" if number == 5 else "charge.succeeded"
            log.add(event_type, {"id": f"ch_{number}"}, now=number, request=None, idempotency_key=None)
    await store.committed()
    kept = [row[0] for row in store.read("SELECT created FROM events ORDER BY sequence")]
    assert kept == [5, *range(160, 200)]
    with store.unit():
        log.delivered(6)  # counted from 1
    assert store.read("SELECT count(*) FROM deliveries") == [(0,)]
    assert store.read("SELECT min(created), count(*) FROM events") == [(160, 40)]


async def test_pruning_costs_the_same_however_many_are_pending(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that is away for a day leaves a million of them."""
    monkeypatch.setattr(events, "EVENTS_KEPT", 20)
    monkeypatch.setattr(events, "PRUNE_EVERY", 10)
    log = Events(store, wanted=["charge.failed"])

    def add(count: int) -> int:
        """The instructions SQLite took, in thousands."""
        ticks = 0

        def tick() -> None:
            nonlocal ticks
            ticks += 1

        store._db.set_progress_handler(tick, 1000)
        with store.unit():
            for number in range(count):
                log.add("charge.failed", {"id": f"ch_{number}"}, now=number, request=None, idempotency_key=None)
        store._db.set_progress_handler(None, 0)
        return ticks

    first = add(200)
    add(3000)
    assert add(200) < 3 * first


async def test_old_idempotency_keys_are_pruned_and_expire(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "KEYS_KEPT", 40)
    monkeypatch.setattr(idempotency, "PRUNE_EVERY", 10)
    keys = IdempotencyKeys(store)
    answer = SavedAnswer(200, "{}", "req_1")
    with store.unit():
        for number in range(200):
            keys.save(f"key{number}", "print", 1000, answer)
    assert store.read("SELECT count(*) FROM idempotency_keys") == [(40,)]
    assert keys.begin("key199", "print", 1000 + KEPT_SECONDS - 1) == answer
    assert keys.begin("key199", "other", 1000 + KEPT_SECONDS) is None
    with store.unit():
        keys.save("key199", "other", 1000 + KEPT_SECONDS, answer)
    keys.end("key199")
    assert keys.begin("key199", "other", 1000 + KEPT_SECONDS) == answer
    await store.committed()


async def test_a_delivery_is_given_up_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(webhooks, "MAX_ATTEMPTS", 3)
    with listening() as endpoint:
        endpoint.statuses[:] = [500, 500, 500]
        assert await outcome_of_one_webhook(tmp_path, endpoint.url) == {
            "delivered": 0,
            "failed_attempts": 3,
            "given_up": 1,
            "pending": 0,
        }
        assert len(endpoint.received) == 3


async def test_an_endpoint_that_never_answers_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(webhooks, "MAX_ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        outcome = await outcome_of_one_webhook(tmp_path, f"http://127.0.0.1:{mute.getsockname()[1]}/")
    assert (outcome["failed_attempts"], outcome["given_up"]) == (1, 1)


async def outcome_of_one_webhook(tmp_path: Path, url: str) -> Any:
    """Makes one intent, waits until its webhook is pending no more, and returns the counts."""
    app = make_app(state_path=tmp_path / "s", secret_key="sk_test_1", webhook_url=url, webhook_secret="whsec_1")
    headers = {"Authorization": "Bearer sk_test_1"}
    async with TestClient(TestServer(app)) as client:
        form = {"amount": "100", "currency": "eur"}
        async with client.post("/v1/payment_intents", data=form, headers=headers) as answer:
            assert answer.status == 200
        for _ in range(500):
            async with client.get("/_sandbox/state") as answer:
                counts = (await answer.json())["webhooks"]
            if counts["pending"] == 0:
                break
            await asyncio.sleep(0.01)
        return counts


def test_the_signature_is_stripes() -> None:
    # Worked out with: printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
    assert (
        signature('{"id":"evt_1"}', "whsec_test", 1700000000)
        == "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925"
    )


async def test_an_unknown_event_type_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"charge\.gone"):
        make_app(
            state_path=tmp_path / "state.sqlite3",
            secret_key="sk_test_1",
            webhook_url="http://127.0.0.1:9/",
            webhook_secret="whsec_1",
            webhook_events=["charge.gone"],
        )

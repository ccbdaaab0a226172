"""Webhooks as input: who signed, when, for whom, in which money; and what is not understood."""

from __future__ import annotations

import hmac
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters import stripe_signature
from adapters.stripe_signature import MAX_SIGNATURES, BadSignature, check
from tests.api.conftest import OpenHouse
from tests.api.house import WEBHOOK_SECRET, House, running_house, settings_of
from tests.api.test_api_webhooks import PATH, by_hand, dispute_of, outcomes, paid, send, succeeded, waiting
from tests.input.test_input_fuzz import signature

RAW = b'{"id": "evt_1"}'
OLD, NEW = "whsec_old", "whsec_new"


@pytest.mark.parametrize(("age_seconds", "good"), [(0, True), (298, True), (-298, True), (302, False), (-303, False)])
def test_a_signature_is_good_for_five_minutes_either_way(age_seconds: int, good: bool) -> None:
    header = signature(RAW, NEW, age_seconds)
    if good:
        check(RAW, header, [NEW])
    else:
        with pytest.raises(BadSignature, match="300 seconds"):
            check(RAW, header, [NEW])


def test_while_a_secret_is_replaced_either_is_good() -> None:
    """Stripe signs with both; and each of ours may be the one it signs with."""
    old, new = signature(RAW, OLD), signature(RAW, NEW)
    time, _, of_old = old.partition(",")
    assert new.startswith(time)
    for header in (old, new, f"{new},{of_old}", f"{time},v0=00,{of_old}", f"{time},{of_old},v1={'0' * 64}"):
        check(RAW, header, [OLD, NEW])
    for header in (new, f"{time},v1={'0' * 64}"):
        with pytest.raises(BadSignature):
            check(RAW, header, [OLD])
    with pytest.raises(BadSignature):
        check(RAW, new, [])


@pytest.mark.parametrize(
    "change",
    [
        lambda time, v1: v1,
        lambda time, v1: time,
        lambda time, v1: f"{time},{time},{v1}",
        lambda time, v1: f"t=-{time[2:]},{v1}",
        lambda time, v1: f"t=+{time[2:]},{v1}",
        lambda time, v1: f"t= {time[2:]},{v1}",
        lambda time, v1: f"t={time[2:]}.0,{v1}",
        lambda time, v1: f"t={'9' * 400},{v1}",
        lambda time, v1: f"t=,{v1}",
        lambda time, v1: f"{time},{v1.replace('v1', 'v0')}",
        lambda time, v1: f"{time},{v1.replace('v1', 'V1')}",
        lambda time, v1: f"{time},v1={v1[3:].upper()}",
        lambda time, v1: f"{time},{v1[:-1]}",
        lambda time, v1: f"{time},{v1}0",
        lambda time, v1: f"{time},v1=",
        lambda time, v1: f"{time};{v1}",
        lambda time, v1: ",".join([time, *["v1=" + "0" * 64] * (MAX_SIGNATURES + 1), v1]),
        lambda time, v1: "\udcff",
    ],
)
def test_a_header_that_is_not_stripes(change: Any) -> None:
    time, _, v1 = signature(RAW, NEW).partition(",")
    with pytest.raises(BadSignature):
        check(RAW, change(time, v1), [NEW])


def test_every_signature_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    class Watched:
        digest = staticmethod(hmac.digest)
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(stripe_signature, "hmac", Watched)
    time, _, v1 = signature(RAW, OLD).partition(",")
    check(RAW, f"{time},{v1},v1={'0' * 64}", [OLD, NEW])
    assert len(compared) == 4


async def test_the_signature_is_over_the_bytes_as_they_came(house: House) -> None:
    raw = b'{ "id":"evt_1",\t"type":"x.y","data":{"object":{}} }\n'
    for sent, status in ((raw, 200), (raw.strip(), 400), (msgspec.json.format(raw, indent=0), 400)):
        answer = await house.call("POST", PATH, raw=sent, headers={"Stripe-Signature": signature(raw, WEBHOOK_SECRET)})
        assert answer.status == status
    large = b" " * 70_000
    answer = await house.call("POST", PATH, raw=large, headers={"Stripe-Signature": signature(large, WEBHOOK_SECRET)})
    assert (answer.status, answer.code) == (413, "body_too_large")


SIGNED = [
    b"", b"null", b"[]", b"{}", b"\xff", b'{"id": 1}', b"[" * 50_000, b'{"id":"e","type":"refund.created","data":{}}',
    b'{"id":"e","type":"refund.created","data":{"object":{"id":"\xff"}}}', b'{"id":"e","data":' + b'{"a":' * 10_000,
]  # fmt: skip


async def test_what_stripe_signed_and_nobody_understands_is_receipted_and_said(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    for raw in SIGNED:
        caplog.clear()
        answer = await house.call("POST", PATH, raw=raw, headers={"Stripe-Signature": signature(raw, WEBHOOK_SECRET)})
        assert answer.status == 200
        assert "cannot be read" in caplog.text, raw[:80]


async def test_what_is_of_another_account_or_of_real_money_is_not_heard_by_a_test_house(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    _, order, intent = await waiting(house)
    for more in ({"livemode": True}, {"account": "acct_1", "livemode": False}, {"account": "acct_1"}):
        caplog.clear()
        assert (await send(house, "payment_intent.succeeded", succeeded(intent), **more)).status == 200
        assert (await house.types(order["id"]))[-1] == "OrderAwaitingPayment", more
        assert "another account" in caplog.text
    assert await outcomes(house, "ignored") == 3
    assert (await send(house, "payment_intent.succeeded", succeeded(intent), livemode=False)).status == 200
    assert (await house.types(order["id"]))[-1] == "OrderCompleted"


async def test_play_money_is_not_heard_by_a_live_house(
    database_url: str, sandbox_url: str, tmp_path: Path, house: House
) -> None:
    _, order, intent = await waiting(house)
    settings = settings_of(database_url, tmp_path, stripe_api_base=sandbox_url)
    async with running_house(replace(settings, stripe_secret_key="rk_live_house")) as live:
        await send(live, "payment_intent.succeeded", succeeded(intent), livemode=False)
        assert (await house.types(order["id"]))[-1] == "OrderAwaitingPayment"
        await send(live, "payment_intent.succeeded", succeeded(intent), livemode=True)
        assert (await house.types(order["id"]))[-1] == "OrderCompleted"


async def test_a_refund_or_dispute_of_other_money_is_left_out(house: House) -> None:
    _, order, payment = await paid(house)
    made, dispute = await by_hand(house, payment, amount="1000"), dispute_of(payment)
    changes: list[dict[str, Any]] = [{"currency": "usd"}, {"currency": "isk"}, {"amount": -2500}]
    for number, change in enumerate(changes, 1):
        assert (await send(house, "refund.created", made | change)).status == 200
        assert (await send(house, "charge.dispute.created", dispute | change)).status == 200
        assert (await house.types(order["id"]))[-1] == "ChargeSettled", change
        assert await outcomes(house, "mismatch") == 2 * number


OTHER_MONEY: list[dict[str, Any]] = [
    {"amount_received": 0}, {"amount_received": 2501}, {"amount_received": 250_000}, {"amount_received": 10**30},
    {"amount_received": -2500}, {"currency": "jpy"}, {"currency": "xyz"}, {"currency": "EUR "},
]  # fmt: skip


async def test_other_money_never_completes_an_order(house: House) -> None:
    _, order, intent = await waiting(house)
    for number, change in enumerate(OTHER_MONEY, 1):
        assert (await send(house, "payment_intent.succeeded", succeeded(intent, **change))).status == 200
        assert (await house.types(order["id"]))[-1] == "OrderAwaitingPayment", change
        assert await outcomes(house, "mismatch") + await outcomes(house, "ignored") == number


async def test_half_a_crown_never_completes_an_order(open_house: OpenHouse, caplog: pytest.LogCaptureFixture) -> None:
    async with open_house() as house:
        _, buyer, _, order = await house.ordered(price={"amount": 5, "currency": "ISK"})
        intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
        intent = await house.sandbox("GET", f"/v1/payment_intents/{intent_id}")
        for received, last in ((550, "OrderAwaitingPayment"), (5, "OrderAwaitingPayment"), (500, "OrderCompleted")):
            await send(house, "payment_intent.succeeded", succeeded(intent, amount_received=received))
            assert (await house.types(order["id"]))[-1] == last
    assert "ISK has no cents" in caplog.text

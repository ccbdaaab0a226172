"""Stripe's webhooks: signed, understood, and heard as often as they like to come."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest
import stripe

from api.ids import new_id
from domain.aggregate import Cause
from domain.errors import Unavailable
from domain.marketplace import Ask
from domain.money import Money
from domain.order import Order
from domain.user import User
from tests.api.conftest import OpenHouse
from tests.api.house import SECRET_KEY, WEBHOOK_SECRET, Answer, House, eventually

PATH = "/webhooks/stripe"


def sign(raw: bytes, secret: str = WEBHOOK_SECRET, age_seconds: int = 0) -> str:
    header: str = stripe.WebhookSignature.generate_signature_header(
        raw.decode(), secret, int(time.time()) - age_seconds
    )
    return header


async def send(house: House, event_type: str, subject: dict[str, Any], **more: Any) -> Answer:
    """One signed event."""
    raw = msgspec.json.encode(
        {"id": "evt_1", "object": "event", "type": event_type, "data": {"object": subject}} | more
    )
    return await house.call("POST", PATH, raw=raw, headers={"Stripe-Signature": sign(raw)})


async def waiting(house: House) -> tuple[Any, Any, dict[str, Any]]:
    """An order that waits for its payment, with its buyer and the intent as Stripe would tell it."""
    _, buyer, _, order = await house.ordered()
    intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
    return buyer, order, await house.sandbox("GET", f"/v1/payment_intents/{intent_id}")


def succeeded(intent: dict[str, Any], **change: Any) -> dict[str, Any]:
    return intent | {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": "ch_1"} | change


def ask_nothing() -> Ask[Any, None]:
    return Ask(Cause(None, new_id(), new_id()), lambda _: None)


async def outcomes(house: House, outcome: str) -> float:
    text = (await house.call("GET", "//metrics")).raw.decode()
    name = f'stagedoor_stripe_webhooks_total{{outcome="{outcome}"}} '
    return next((float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name)), 0.0)


async def test_money_completes_the_order_however_often_it_is_heard_of(house: House) -> None:
    buyer, order, intent = await waiting(house)
    for _ in range(3):
        answer = await send(house, "payment_intent.succeeded", succeeded(intent))
        assert (answer.status, answer.body) == (200, {"received": True})
    done = await house.call("GET", f"/orders/{order['id']}", token=buyer.token)
    assert (done.body["status"], done.body["charge_id"]) == ("completed", "ch_1")
    types = await house.types(order["id"])
    assert types == ["OrderCreated", "OrderAwaitingPayment", "ChargeCreated", "OrderCompleted"]
    history = (await house.call("GET", f"/orders/{order['id']}/history", token=buyer.token)).body["items"]
    assert history[-1]["actor"] is None


async def test_a_failure_is_noted_once(house: House) -> None:
    _, order, intent = await waiting(house)
    error = {"code": "card_declined", "decline_code": "lost_card", "charge": "ch_1", "type": "card_error"}
    for _ in range(2):
        answer = await send(house, "payment_intent.payment_failed", intent | {"last_payment_error": error})
        assert answer.status == 200
    assert await house.types(order["id"]) == ["OrderCreated", "OrderAwaitingPayment", "ChargeFailed"]


async def test_a_failure_that_comes_after_the_success_changes_nothing(house: House) -> None:
    _, order, intent = await waiting(house)
    await send(house, "payment_intent.succeeded", succeeded(intent))
    error = {"code": "card_declined", "charge": "ch_0", "type": "card_error"}
    await send(house, "payment_intent.payment_failed", intent | {"last_payment_error": error})
    await send(house, "payment_intent.canceled", intent | {"status": "canceled"})
    assert (await house.types(order["id"]))[-1] == "OrderCompleted"


async def test_a_closed_intent_is_noted(house: House) -> None:
    _, order, intent = await waiting(house)
    await send(house, "payment_intent.canceled", intent | {"status": "canceled"})
    history = await house.services.log.history(UUID(order["id"]))
    assert history[-1].type == "ChargeFailed"
    assert history[-1].data.code == "payment_intent_canceled"  # type: ignore[union-attr]


async def test_money_for_a_cancelled_order_is_due_to_go_back_and_its_refund_is_noted(house: House) -> None:
    buyer, order, _ = await waiting(house)
    assert (await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)).status == 200
    intent_id = (await house.services.log.history(UUID(order["id"])))[1].data.payment_intent_id  # type: ignore[union-attr]
    paid = await house.services.gateway.confirm(intent_id, "pm_card_visa", "attempt")
    assert paid.charge is not None
    intent = await house.sandbox("GET", f"/v1/payment_intents/{intent_id}")
    await send(house, "payment_intent.succeeded", intent)
    known = await house.services.log.aggregate(Order, UUID(order["id"]))
    assert known is not None
    made = await house.services.gateway.refund(known.id, known.refunds[0])
    refund = await house.sandbox("GET", f"/v1/refunds/{made.refund_id}")
    for _ in range(2):
        assert (await send(house, "refund.created", refund)).status == 200
    seen = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert (seen["status"], seen["charge_id"]) == ("cancelled", paid.charge.charge_id)
    assert seen["refund_id"] == made.refund_id
    assert (await house.types(order["id"]))[2:] == ["OrderCancelled", "ChargeCreated", "RefundCreated"]


@pytest.mark.parametrize(
    "change",
    [{"amount_received": 1}, {"currency": "usd"}, {"id": "pi_another"}],
)
async def test_money_that_is_not_the_orders_is_never_taken(
    house: House, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    buyer, order, intent = await waiting(house)
    answer = await send(house, "payment_intent.succeeded", succeeded(intent, **change))
    assert answer.status == 200
    seen = await house.call("GET", f"/orders/{order['id']}", token=buyer.token)
    assert (seen.body["status"], seen.body["charge_id"]) == ("awaiting_payment", None)
    assert await outcomes(house, "mismatch") == 1
    assert any(record.levelname == "ERROR" and "was not taken" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("event_type", "subject"),
    [
        ("customer.created", {"id": "cus_1"}),
        ("charge.refunded", {"id": "ch_1", "object": "charge"}),
        ("payment_intent.created", {"id": "pi_1", "status": "x", "amount": 1, "currency": "eur"}),
        ("payment_intent.succeeded", {"id": "pi_1", "status": "succeeded", "amount": 1, "currency": "eur"}),
        ("payment_intent.succeeded", {"something": "else"}),
        ("refund.created", {"id": "re_1", "amount": 1, "currency": "eur", "status": "failed"}),
    ],
)
async def test_what_is_of_no_concern_is_let_pass(house: House, event_type: str, subject: dict[str, Any]) -> None:
    assert (await send(house, event_type, subject)).status == 200
    assert await outcomes(house, "ignored") == 1


async def test_orders_of_another_house_and_connected_accounts_are_ignored(house: House) -> None:
    _, order, intent = await waiting(house)
    await send(house, "payment_intent.succeeded", succeeded(intent, metadata={"order_id": str(uuid4())}))
    await send(house, "payment_intent.succeeded", succeeded(intent, metadata={"order_id": "42"}))
    await send(house, "payment_intent.succeeded", succeeded(intent), account="acct_1")
    assert await outcomes(house, "ignored") == 3
    assert (await house.types(order["id"]))[-1] == "OrderAwaitingPayment"


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "t=1,v1=00",
        "nonsense",
        "t=x,v1=y",
        "ü",
        "t=1,v1=ü",
        "OTHER_SECRET",
        "TOO_OLD",
        "OTHER_BODY",
    ],
)
async def test_a_bad_signature_is_refused(house: House, signature: str | None) -> None:
    _, order, intent = await waiting(house)
    event = {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": succeeded(intent)}}
    raw = msgspec.json.encode(event)
    made = {
        "OTHER_SECRET": sign(raw, "whsec_other"),
        "TOO_OLD": sign(raw, age_seconds=301),
        "OTHER_BODY": sign(raw + b" "),
    }
    headers = {} if signature is None else {"Stripe-Signature": made.get(signature, signature)}
    answer = await house.call("POST", PATH, raw=raw, headers=headers)
    assert (answer.status, answer.code) == (400, "bad_signature")
    assert await outcomes(house, "bad_signature") == 1
    assert (await house.types(order["id"]))[-1] == "OrderAwaitingPayment"


async def test_a_body_that_is_no_text(house: House) -> None:
    answer = await house.call("POST", PATH, raw=b"\xff\xfe", headers={"Stripe-Signature": "t=1,v1=00"})
    assert (answer.status, answer.code) == (400, "bad_signature")


async def test_two_secrets_are_good_while_one_is_replaced(open_house: OpenHouse) -> None:
    async with open_house(stripe_webhook_secret="whsec_new, whsec_old") as house:
        raw = b'{"id": "evt_1", "type": "customer.created", "data": {"object": {}}}'
        for secret, status in (("whsec_new", 200), ("whsec_old", 200), ("whsec_older", 400), ("", 400)):
            answer = await house.call("POST", PATH, raw=raw, headers={"Stripe-Signature": sign(raw, secret)})
            assert answer.status == status


async def test_with_the_store_away_stripe_is_asked_to_come_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, intent = await waiting(house)

    def away(*_: object) -> None:
        raise Unavailable("the event store does not answer")

    monkeypatch.setattr(type(house.services.marketplace), "take_charge", away)
    answer = await send(house, "payment_intent.succeeded", succeeded(intent))
    assert (answer.status, answer.code) == (503, "unavailable")


async def test_the_sandboxes_own_webhooks_arrive(house_with_webhooks: House) -> None:
    house = house_with_webhooks
    _, buyer, _, order = await house.ordered()
    intent_id = (await house.pay(buyer, order["id"], "pm_card_authenticationRequired")).body["payment_intent_id"]
    await house.sandbox("POST", f"/_sandbox/payment_intents/{intent_id}/authenticate", {"outcome": "succeed"})

    async def completed() -> bool:
        return "OrderCompleted" in await house.types(order["id"])

    assert await eventually(completed)


async def test_the_webhook_comes_before_the_answer_and_twice(house_with_webhooks: House) -> None:
    house = house_with_webhooks
    _, buyer, _, order = await house.ordered()
    await house.sandbox("POST", "/_sandbox/faults", {"delay_ms": 300, "webhook_twice": True})
    answer = await house.pay(buyer, order["id"])
    assert (answer.status, answer.body["status"]) == (201, "succeeded")

    async def delivered() -> bool:
        state = await house.sandbox("GET", "/_sandbox/state")
        return bool(state["webhooks"]["pending"] == 0)

    assert await eventually(delivered)
    types = ["OrderCreated", "OrderAwaitingPayment", "ChargeCreated", "OrderCompleted"]
    assert (await house.types(order["id"]))[:4] == types


# Refunds -------------------------------------------------------------------------------------------------------------


async def paid(house: House) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """An order that was paid, its buyer, and the answer to the payment."""
    _, buyer, _, order = await house.ordered()
    return buyer, order, (await house.pay(buyer, order["id"])).body


def refund_of(payment: dict[str, Any], refund_id: str = "re_1", **more: Any) -> dict[str, Any]:
    """A refund as Stripe tells of one that was made there."""
    subject = {"id": refund_id, "amount": 1000, "currency": "eur", "status": "succeeded", "metadata": {}}
    return subject | {"charge": payment["charge_id"], "payment_intent": payment["payment_intent_id"]} | more


def tagged(order: dict[str, Any], number: int, tries: int = 0) -> dict[str, Any]:
    return {"metadata": {"order_id": order["id"], "refund": str(number), "tries": str(tries)}}


async def by_hand(house: House, payment: dict[str, Any], **form: str) -> dict[str, Any]:
    """A refund that somebody makes at Stripe; as Stripe has it."""
    form, headers = {"charge": payment["charge_id"]} | form, {"Authorization": f"Bearer {SECRET_KEY}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{house.sandbox_url}/v1/refunds", data=form, headers=headers) as answer,
    ):
        made: dict[str, Any] = await answer.json()
        return made


async def test_a_refund_in_part_that_was_made_at_stripe_is_the_houses_gift(house: House) -> None:
    buyer, order, payment = await paid(house)
    made = await by_hand(house, payment, amount="1000")
    for event_type in ("refund.created", "refund.updated", "charge.refund.updated"):
        assert (await send(house, event_type, made)).status == 200
    assert (await house.types(order["id"]))[5:] == ["OrderRefunded", "RefundCreated"]
    seen = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert (seen["status"], seen["refund_id"]) == ("completed", made["id"])


async def test_all_that_is_left_sent_back_at_stripe_undoes_the_order(house: House) -> None:
    buyer, order, payment = await paid(house)
    await send(house, "refund.created", await by_hand(house, payment))
    seen = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert seen["status"] == "refunded"
    units = (await house.call("GET", f"/tickets/{order['items'][0]['ticket_id']}")).body
    assert (units["available"], units["sold"]) == (5, 0)


async def test_a_refund_that_has_failed_before_it_was_heard_of_is_none(house: House) -> None:
    """The news of its failure came first, and said nothing of an order that knew of no refund."""
    _, buyer, _, order = await house.ordered()
    payment = (await house.pay(buyer, order["id"], "pm_card_refundFail")).body
    made = await by_hand(house, payment, amount="1000")

    async def failed() -> bool:
        known = await house.services.gateway.find_refund(made["id"])
        return known is not None and known.failed

    assert await eventually(failed)
    await send(house, "refund.failed", made | {"status": "failed"})
    await send(house, "refund.created", made)
    assert (await house.types(order["id"]))[-1] == "ChargeSettled"


async def due_refund(house: House, seller: Any, order: dict[str, Any]) -> None:
    """The seller takes the tickets back: refund 1 is due."""
    await house.services.marketplace.refund_order(UUID(order["id"]), UUID(seller.id), None, ask_nothing())


FAILED, CREATED = "refund.failed", "refund.created"


@pytest.mark.parametrize(
    "news",
    [
        [(CREATED, 0), (FAILED, 0), (CREATED, 1)],
        [(CREATED, 0), (CREATED, 0), (FAILED, 0), (FAILED, 0), (CREATED, 1), (CREATED, 1)],
        [(FAILED, 0), (CREATED, 0), (CREATED, 1)],
        [(FAILED, 0), (CREATED, 1), (CREATED, 0), (FAILED, 0)],
        [(FAILED, 0), (FAILED, 0), (CREATED, 1), (CREATED, 0)],
    ],
)
async def test_a_refund_of_ours_fails_and_is_made_again_whatever_the_order_of_the_news(
    house: House, news: list[tuple[str, int]]
) -> None:
    seller, buyer, _, order = await house.ordered()
    payment = (await house.pay(buyer, order["id"])).body
    await due_refund(house, seller, order)
    for event_type, tries in news:
        told = refund_of(payment, f"re_{tries}", amount=2500, **tagged(order, 1, tries))
        status = "failed" if event_type == FAILED else "succeeded"
        assert (await send(house, event_type, told | {"status": status})).status == 200
    wanted = ["OrderRefunded", "RefundCreated", "RefundFailed", "RefundCreated"]
    assert [name for name in (await house.types(order["id"]))[5:] if name != "ReversalDue"] == wanted
    known = await house.services.log.aggregate(Order, UUID(order["id"]))
    assert known is not None
    assert [(one.refund_id, one.tries, one.status) for one in known.refunds] == [("re_1", 1, "succeeded")]


async def test_a_refund_that_stripe_does_not_know_is_none(house: House) -> None:
    _, order, payment = await paid(house)
    assert (await send(house, CREATED, refund_of(payment))).status == 200
    assert await outcomes(house, "ignored") == 1
    assert (await house.types(order["id"]))[-1] == "ChargeSettled"


async def test_a_number_of_another_order_is_none(house: House) -> None:
    """Whoever can write metadata at Stripe makes no refund of one order out of another's."""
    seller, buyer, _, order = await house.ordered()
    payment = (await house.pay(buyer, order["id"])).body
    await due_refund(house, seller, order)
    tags = {"metadata[order_id]": str(uuid4()), "metadata[refund]": "1", "metadata[tries]": "0"}
    made = await by_hand(house, payment, amount="1000", **tags)
    await send(house, CREATED, made)
    known = await house.services.log.aggregate(Order, UUID(order["id"]))
    assert known is not None
    assert [(one.reason, one.refund_id) for one in known.refunds] == [("seller", None), ("stripe", made["id"])]


async def test_a_refund_of_ours_with_other_money_is_not_taken(house: House) -> None:
    seller, buyer, _, order = await house.ordered()
    payment = (await house.pay(buyer, order["id"])).body
    await due_refund(house, seller, order)
    await send(house, CREATED, refund_of(payment, amount=1, **tagged(order, 1)))
    assert await outcomes(house, "mismatch") == 1
    assert "RefundCreated" not in await house.types(order["id"])


# Disputes ------------------------------------------------------------------------------------------------------------


def dispute_of(payment: dict[str, Any], status: str = "needs_response", **more: Any) -> dict[str, Any]:
    """A dispute as Stripe tells of it."""
    subject = {"id": "dp_1", "amount": 2500, "currency": "eur", "reason": "fraudulent", "status": status}
    subject |= {"charge": payment["charge_id"], "payment_intent": payment["payment_intent_id"]}
    return subject | {"balance_transactions": [], "evidence_details": {"due_by": 1_900_000_000}} | more


def moved(amount: int, fee: int = 0, currency: str = "eur") -> dict[str, Any]:
    return {"id": f"txn_{amount}", "amount": amount, "fee": fee, "net": amount - fee, "currency": currency}


async def last_events(house: House, order: dict[str, Any]) -> list[Any]:
    """What happened after the order was paid and the charge settled."""
    return (await house.services.log.history(UUID(order["id"])))[5:]


async def test_a_dispute_that_is_lost(house: House) -> None:
    _, order, payment = await paid(house)
    taken: dict[str, Any] = {"balance_transactions": [moved(-2500, 2000)]}
    for _ in range(2):
        await send(house, "charge.dispute.created", dispute_of(payment))
        await send(house, "charge.dispute.funds_withdrawn", dispute_of(payment, **taken))
        await send(house, "charge.dispute.updated", dispute_of(payment, "under_review", **taken))
        await send(house, "charge.dispute.closed", dispute_of(payment, "lost", **taken))
    events = await last_events(house, order)
    wanted = ["DisputeCreated", "DisputeFundsWithdrawn", "DisputeUpdated", "DisputeClosed"]
    assert [event.type for event in events] == wanted
    assert events[0].data.evidence_due_by == datetime.fromtimestamp(1_900_000_000, UTC)
    assert events[1].data.fee == Money(2000, "EUR")
    assert (events[3].data.status, events[3].data.money) == ("lost", Money(2500, "EUR"))


async def test_a_dispute_that_is_won_and_of_which_the_end_is_heard_first(house: House) -> None:
    _, order, payment = await paid(house)
    both: dict[str, Any] = {"balance_transactions": [moved(-2500, 2000), moved(2500)]}
    for event_type in ("closed", "funds_reinstated", "funds_withdrawn", "created"):
        await send(house, f"charge.dispute.{event_type}", dispute_of(payment, "won", **both))
    wanted = ["DisputeCreated", "DisputeFundsWithdrawn", "DisputeFundsReinstated", "DisputeClosed"]
    assert [event.type for event in await last_events(house, order)] == wanted


async def test_a_withdrawal_of_which_stripe_tells_no_fee(house: House) -> None:
    _, order, payment = await paid(house)
    await send(house, "charge.dispute.funds_withdrawn", dispute_of(payment))
    assert (await last_events(house, order))[1].data.fee == Money(0, "EUR")


async def test_a_dispute_of_a_charge_that_is_not_the_orders_is_not_taken(house: House) -> None:
    _, order, payment = await paid(house)
    await send(house, "charge.dispute.created", dispute_of(payment, charge="ch_another"))
    assert await outcomes(house, "mismatch") == 1
    assert await last_events(house, order) == []


# Sellers' accounts ---------------------------------------------------------------------------------------------------


async def seller_with_account(house: House) -> tuple[Any, dict[str, Any]]:
    """A seller, and their account as Stripe has it."""
    seller = await house.person("seller")
    account = await house.services.gateway.create_account(UUID(seller.id))
    await house.services.marketplace.open_account(UUID(seller.id), account.account_id, ask_nothing())
    return seller, await house.sandbox("GET", f"/v1/accounts/{account.account_id}")


async def test_a_sellers_account_is_taken_as_it_stands(house: House) -> None:
    seller, account = await seller_with_account(house)
    await house.sandbox("POST", f"/_sandbox/accounts/{account['id']}/onboard")
    for _ in range(2):
        # An older state, heard late: what counts is how it stands at Stripe.
        assert (await send(house, "account.updated", account, account=account["id"])).status == 200
    types = await house.types(seller.id)
    assert types == ["UserCreated", "PayoutAccountCreated", "PayoutAccountUpdated"]
    user = await house.services.log.aggregate(User, UUID(seller.id))
    assert user is not None
    assert user.transfers_enabled


async def test_an_account_speaks_for_its_own_seller_only(house: House) -> None:
    _, account = await seller_with_account(house)
    other, _ = await seller_with_account(house)
    for metadata in ({}, {"user_id": "x"}, {"user_id": str(uuid4())}):
        await send(house, "account.updated", account | {"metadata": metadata}, account=account["id"])
    await send(house, "account.updated", account, account="acct_another")
    await send(house, "account.updated", account)
    assert await outcomes(house, "ignored") == 5
    await send(house, "account.updated", account | {"metadata": {"user_id": other.id}}, account=account["id"])
    assert await outcomes(house, "mismatch") == 1
    assert "PayoutAccountUpdated" not in await house.types(other.id)

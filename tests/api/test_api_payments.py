"""Payments over HTTP: every way they go, and what a crash or a lost answer leaves behind."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web

from api import declines
from api.ids import new_id
from api.payments import RESULT
from api.problems import PROBLEMS
from domain.aggregate import Cause
from domain.marketplace import Ask
from domain.order import ChargeFailure
from domain.ports import PaymentUnavailable
from tests.api.conftest import OpenHouse
from tests.api.house import House, Person, eventually, running_house, serving, settings_of


async def test_a_good_card_completes_the_order(house: House) -> None:
    _, buyer, ticket, order = await house.ordered()
    paid = await house.pay(buyer, order["id"])
    assert paid.status == 201
    assert set(paid.body) == {"order_id", "status", "payment_intent_id", "charge_id", "client_secret"}
    assert (paid.body["order_id"], paid.body["status"]) == (order["id"], "succeeded")
    done = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert (done["status"], done["charge_id"]) == ("completed", paid.body["charge_id"])
    assert done["payment_intent_id"] == paid.body["payment_intent_id"]
    state = (await house.call("GET", f"/tickets/{ticket['id']}")).body
    assert (state["available"], state["held"], state["sold"]) == (4, 0, 1)
    types = ["OrderCreated", "OrderAwaitingPayment", "ChargeCreated", "OrderCompleted", "ChargeSettled"]
    assert await house.types(order["id"]) == types


@pytest.mark.parametrize(
    ("card", "code", "reason"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
    ],
)
async def test_a_declined_card_leaves_the_order_open(house: House, card: str, code: str, reason: str) -> None:
    _, buyer, _, order = await house.ordered()
    declined = await house.pay(buyer, order["id"], card)
    assert (declined.status, declined.code, declined.body["decline_code"]) == (402, code, reason)
    good = await house.pay(buyer, order["id"])
    assert (good.status, good.body["status"]) == (201, "succeeded")
    types = ["OrderCreated", "OrderAwaitingPayment", "ChargeFailed", "ChargeCreated", "OrderCompleted", "ChargeSettled"]
    assert await house.types(order["id"]) == types


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ChargeFailure("pi_1", "card_declined", "do_not_honor"), "card_declined"),
        (ChargeFailure("pi_1", "card_declined", None), "card_declined"),
        (ChargeFailure("pi_1", "unknown", None), "card_declined"),
        (ChargeFailure("pi_1", "card_declined", "authentication_required"), "authentication_failed"),
        (ChargeFailure("pi_1", "authentication_required", "do_not_honor"), "authentication_failed"),
        (ChargeFailure("pi_1", "payment_intent_authentication_failure", None), "authentication_failed"),
        (ChargeFailure("pi_1", "card_declined", "invalid_cvc"), "incorrect_cvc"),
        (ChargeFailure("pi_1", "processing_error", None), "processing_error"),
    ],
)
def test_why_a_card_was_refused(failure: ChargeFailure, code: str) -> None:
    assert declines.code_of(failure) == code
    assert PROBLEMS[code][0] == 402
    assert declines.advice_for(code)


# The buyer has to act ------------------------------------------------------------------------------------------------


async def waiting_for_the_buyer(house: House, card: str) -> tuple[Person, str, str]:
    """A buyer, an order that waits for them to be recognised, and its intent."""
    _, buyer, _, order = await house.ordered()
    answer = await house.pay(buyer, order["id"], card)
    assert (answer.status, answer.body["status"], answer.body["charge_id"]) == (201, "requires_action", None)
    return buyer, order["id"], answer.body["payment_intent_id"]


async def act(house: House, intent_id: str, outcome: str) -> str:
    """The buyer does; returns the intent's status."""
    path = f"/_sandbox/payment_intents/{intent_id}/authenticate"
    status: str = (await house.sandbox("POST", path, {"outcome": outcome}))["status"]
    return status


async def test_a_card_that_needs_the_buyer_to_act(house: House) -> None:
    buyer, order_id, intent_id = await waiting_for_the_buyer(house, "pm_card_authenticationRequired")
    assert await act(house, intent_id, "succeed") == "succeeded"
    # The webhook has not come; asking again finds the money and charges nothing.
    again = await house.pay(buyer, order_id)
    assert (again.status, again.body["status"]) == (201, "succeeded")
    assert await house.charges() == 1


async def test_a_buyer_who_was_recognised_finds_the_order_completed(house_with_webhooks: House) -> None:
    house = house_with_webhooks
    buyer, order_id, intent_id = await waiting_for_the_buyer(house, "pm_card_authenticationRequired")
    await act(house, intent_id, "succeed")
    assert await eventually(lambda: status_is(house, buyer, order_id, "completed"))


async def status_is(house: House, buyer: Person, order_id: str, status: str) -> bool:
    return bool((await house.call("GET", f"/orders/{order_id}", token=buyer.token)).body["status"] == status)


@pytest.mark.parametrize(
    ("card", "outcome", "code"),
    [
        ("pm_card_authenticationRequired", "fail", "payment_intent_authentication_failure"),
        ("pm_card_threeDSecureRequiredChargeDeclined", "succeed", "card_declined"),
    ],
)
async def test_a_buyer_who_was_not_recognised_or_whose_bank_declines_takes_another_card(
    house_with_webhooks: House, card: str, outcome: str, code: str
) -> None:
    house = house_with_webhooks
    buyer, order_id, intent_id = await waiting_for_the_buyer(house, card)
    assert await act(house, intent_id, outcome) == "requires_payment_method"

    async def heard() -> bool:
        return "ChargeFailed" in await house.types(order_id)

    assert await eventually(heard)
    [failed] = [event for event in await house.services.log.history(UUID(order_id)) if event.type == "ChargeFailed"]
    assert failed.data.code == code  # type: ignore[union-attr]
    assert await status_is(house, buyer, order_id, "awaiting_payment")
    other = await house.pay(buyer, order_id)
    assert (other.status, other.body["status"]) == (201, "succeeded")
    assert await house.charges() == 1


async def test_a_bank_that_wants_the_buyer_recognised_and_does_not_say_how(database_url: str, tmp_path: Path) -> None:
    """Stripe declines such a card outright when there is nothing the buyer could be asked."""
    intent = {"id": "pi_1", "status": "requires_payment_method", "amount": 2500, "currency": "eur", "metadata": {}}
    error = {"type": "card_error", "code": "authentication_required", "decline_code": "authentication_required"}

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/confirm"):
            return web.json_response({"error": error | {"payment_intent": intent}}, status=402)
        return web.json_response(intent)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    async with serving(app) as url, running_house(settings_of(database_url, tmp_path, stripe_api_base=url)) as house:
        _, buyer, _, order = await house.ordered()
        declined = await house.pay(buyer, order["id"])
        assert (declined.status, declined.code) == (402, "authentication_failed")
        assert declined.body["decline_code"] == "authentication_required"
        assert (await house.types(order["id"]))[-1] == "ChargeFailed"


async def test_without_a_payment_method_the_client_confirms(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    answers = [await house.pay(buyer, order["id"], None) for _ in range(2)]
    assert {(answer.status, answer.raw) for answer in answers} == {(201, answers[0].raw)}
    body = answers[0].body
    assert (body["status"], body["charge_id"]) == ("requires_payment_method", None)
    assert body["client_secret"].startswith(body["payment_intent_id"])
    waiting = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
    assert (waiting["status"], waiting["payment_intent_id"]) == ("awaiting_payment", body["payment_intent_id"])


@pytest.mark.parametrize("method", ["pm_nobody_knows", "pm_x", "4242424242424242", "tok_visa", "", "pm_ x", "pm_a\n"])
async def test_an_unknown_payment_method(house: House, method: str) -> None:
    _, buyer, _, order = await house.ordered()
    answer = await house.pay(buyer, order["id"], method)
    assert (answer.status, answer.code, answer.fields) == (422, "validation_failed", ["payment_method"])
    assert method not in answer.raw.decode() or method == ""
    assert (await house.pay(buyer, order["id"])).status == 201


async def test_paying_twice(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    assert (await house.pay(buyer, order["id"])).status == 201
    again = await house.pay(buyer, order["id"])
    assert (again.status, again.code) == (409, "order_not_open")
    assert await house.charges() == 1


async def test_paying_what_is_not_ones_own_or_not_there(house: House) -> None:
    seller, buyer, _, order = await house.ordered()
    for person, order_id in ((seller, order["id"]), (buyer, str(uuid4()))):
        answer = await house.pay(person, order_id)
        assert (answer.status, answer.code) == (404, "order_not_found")
    assert (await house.call("POST", "/payments", {"order_id": "x"}, token=buyer.token)).fields == ["order_id"]


async def test_paying_a_cancelled_order(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)
    answer = await house.pay(buyer, order["id"])
    assert (answer.status, answer.code) == (409, "order_not_open")
    assert (await house.sandbox("GET", "/_sandbox/state"))["payment_intents"] == 0


# The same key --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("card", ["pm_card_visa", "pm_card_chargeDeclined", "pm_card_authenticationRequired", None])
async def test_the_same_key_pays_once_and_answers_the_same(house: House, card: str | None) -> None:
    _, buyer, _, order = await house.ordered()
    answers = [await house.pay(buyer, order["id"], card, key="k") for _ in range(3)]
    assert len({(answer.status, answer.raw) for answer in answers}) == 1
    state = await house.sandbox("GET", "/_sandbox/state")
    assert sum(state["charges"].values()) == (1 if card in ("pm_card_visa", "pm_card_chargeDeclined") else 0)


async def test_a_refusal_to_pay_under_a_key_stays(house: House) -> None:
    seller, _, _, order = await house.ordered()
    answers = [await house.pay(seller, order["id"], key="k") for _ in range(2)]
    assert {(answer.status, answer.code, answer.raw) for answer in answers} == {
        (404, "order_not_found", answers[0].raw)
    }


async def test_a_key_of_a_payment_is_good_for_no_other_one(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    await house.pay(buyer, order["id"], "pm_card_chargeDeclined", key="k")
    other = await house.pay(buyer, order["id"], "pm_card_visa", key="k")
    assert (other.status, other.code) == (422, "idempotency_key_reused")


class Crash(BaseException):
    """The process ends here."""


def crash_at(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, *, after: bool) -> None:
    """The next call of a method ends the request, before or after it has done its work."""
    real = getattr(target, name)

    def crash(*arguments: Any, **more: Any) -> Any:
        monkeypatch.undo()

        async def end() -> None:
            if after:
                await real(*arguments, **more)
            raise Crash

        return end()

    monkeypatch.setattr(target, name, crash)


STEPS = [
    ("marketplace", "check_payable"),
    ("gateway", "create_intent"),
    ("marketplace", "await_payment"),
    ("gateway", "confirm"),
    ("marketplace", "take_charge"),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("part", "step"), STEPS)
async def test_a_crash_at_any_step_then_the_same_key(
    house: House, open_house: OpenHouse, part: str, step: str, after: bool
) -> None:
    """The one process goes down in the middle; the client repeats its request to another one."""
    _, buyer, _, order = await house.ordered()
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, type(getattr(house.services, part)), step, after=after)
        with pytest.raises(aiohttp.ClientError):
            await house.pay(buyer, order["id"], key="k")
    async with open_house() as other:
        answers = [await other.pay(buyer, order["id"], key="k") for _ in range(2)]
        assert (answers[0].status, answers[0].body["status"]) == (201, "succeeded")
        assert answers[0].raw == answers[1].raw
        assert await other.charges() == 1
        done = await other.call("GET", f"/orders/{order['id']}", token=buyer.token)
        assert done.body["status"] == "completed"


async def test_a_card_that_was_declined_before_a_crash_is_not_tried_again(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, type(house.services.gateway), "confirm", after=True)
        with pytest.raises(aiohttp.ClientError):
            await house.pay(buyer, order["id"], "pm_card_chargeDeclined", key="k")
    answer = await house.pay(buyer, order["id"], "pm_card_chargeDeclined", key="k")
    assert (answer.status, answer.code) == (402, "card_declined")
    assert (await house.sandbox("GET", "/_sandbox/state"))["charges"] == {"succeeded": 0, "failed": 1}


async def test_the_money_was_taken_and_the_webhook_came_before_the_retry(house: House) -> None:
    """A crash after the charge; Stripe's webhook completes the order; the key's answer is still the success."""
    _, buyer, _, order = await house.ordered()
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, type(house.services.gateway), "confirm", after=True)
        with pytest.raises(aiohttp.ClientError):
            await house.pay(buyer, order["id"], key="k")
    known = await house.call("GET", f"/orders/{order['id']}", token=buyer.token)
    intent = await house.services.gateway.fetch(known.body["payment_intent_id"])
    assert intent.charge is not None
    ask: Ask[Any, None] = Ask(Cause(None, new_id(), new_id()), lambda _: None)
    await house.services.marketplace.take_charge(UUID(order["id"]), intent.charge, ask)
    answer = await house.pay(buyer, order["id"], key="k")
    assert (answer.status, answer.body["charge_id"]) == (201, intent.charge.charge_id)
    assert await house.charges() == 1


async def test_stripes_answer_is_lost_after_charging(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    await house.sandbox("POST", "/_sandbox/faults", {"answer_lost_after_charging": 1})
    answer = await house.pay(buyer, order["id"])
    assert (answer.status, answer.body["status"]) == (201, "succeeded")
    assert await house.charges() == 1


async def test_stripe_away_is_said_and_the_same_key_pays_once_it_is_back(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    await house.sandbox("POST", "/_sandbox/faults", {"fail_next": {"status": 500, "count": 4}})
    away = await house.pay(buyer, order["id"], key="k")
    assert (away.status, away.code) == (503, "payment_unavailable")
    assert int(away.headers["Retry-After"]) > 0
    await house.sandbox("DELETE", "/_sandbox/faults")
    back = await house.pay(buyer, order["id"], key="k")
    assert (back.status, back.body["status"]) == (201, "succeeded")
    assert await house.charges() == 1


async def test_the_deadline_passes_between_a_crash_and_the_retry(house: House) -> None:
    _, buyer, _, order = await house.ordered(hold_seconds=2)
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, type(house.services.gateway), "confirm", after=False)
        with pytest.raises(aiohttp.ClientError):
            await house.pay(buyer, order["id"], key="k")
    await asyncio.sleep(2.1)
    answer = await house.pay(buyer, order["id"], key="k")
    assert (answer.status, answer.code) == (409, "order_not_open")
    assert await house.charges() == 0


@pytest.mark.parametrize(
    ("part", "step"), [("marketplace", "check_payable"), ("gateway", "create_intent"), ("gateway", "confirm")]
)
async def test_a_refusal_after_a_crash_is_the_keys_answer_for_good(house: House, part: str, step: str) -> None:
    _, buyer, _, order = await house.ordered()
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, type(getattr(house.services, part)), step, after=step != "confirm")
        with pytest.raises(aiohttp.ClientError):
            await house.pay(buyer, order["id"], key="k")
    assert (await house.call("DELETE", f"/orders/{order['id']}", token=buyer.token)).status == 200
    answers = [await house.pay(buyer, order["id"], key="k") for _ in range(2)]
    assert (answers[0].status, answers[0].code) == (409, "order_not_open")
    assert answers[0].raw == answers[1].raw
    assert await house.charges() == 0


async def test_the_intent_was_closed_meanwhile(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
    await house.services.gateway.cancel(intent_id)
    answer = await house.pay(buyer, order["id"])
    assert (answer.status, answer.code) == (409, "order_not_open")
    assert (await house.types(order["id"]))[-1] == "ChargeFailed"


async def test_no_client_can_name_the_place_of_the_stored_answer(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    await house.pay(buyer, order["id"], key="k")
    with pytest.raises(ValueError, match="header"):
        await house.pay(buyer, order["id"], key="k" + RESULT)
    assert await house.services.stored_answers.find(UUID(buyer.id), "k" + RESULT) is not None


async def test_what_stripe_refuses_is_not_answered_as_the_buyers_mistake(house: House) -> None:
    async def refuse(*_: object) -> None:
        raise PaymentUnavailable("the key is not good")

    _, buyer, _, order = await house.ordered()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(house.services.gateway), "create_intent", refuse)
        answer = await house.pay(buyer, order["id"])
    assert (answer.status, answer.code) == (503, "payment_unavailable")
    assert b"key is not good" not in answer.raw

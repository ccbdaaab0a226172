"""Two things at once: one winner, decided in the store, through one process or two."""

from __future__ import annotations

import asyncio
from uuid import UUID

from domain.published_money import ChargeCreated
from tests.api.conftest import OpenHouse
from tests.api.house import House


async def test_two_buyers_at_once_for_the_last_ticket(house: House, open_house: OpenHouse) -> None:
    seller = await house.person()
    ticket = await house.listing(seller, quantity=1)
    buyers = [await house.person() for _ in range(10)]
    async with open_house() as other:
        houses = [house, other] * 5
        answers = await asyncio.gather(
            *(one.order(buyer, ticket["id"]) for one, buyer in zip(houses, buyers, strict=True))
        )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 9
    assert {answer.code for answer in answers if answer.status == 409} == {"sold_out"}
    assert await house.types(ticket["id"]) == ["TicketCreated", "TicketReserved"]


async def test_the_same_key_at_the_same_time(house: House) -> None:
    buyer = await house.person()
    ticket = await house.listing(await house.person())
    answers = await asyncio.gather(*(house.order(buyer, ticket["id"], key="k") for _ in range(10)))
    assert {(answer.status, answer.raw) for answer in answers} == {(201, answers[0].raw)}
    assert (await house.call("GET", f"/tickets/{ticket['id']}")).body["held"] == 1


async def test_paying_twice_at_once(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    answers = await asyncio.gather(*(house.pay(buyer, order["id"]) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]
    assert await house.charges() == 1


async def test_paying_twice_at_once_under_one_key(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    answers = await asyncio.gather(*(house.pay(buyer, order["id"], key="k") for _ in range(4)))
    assert {(answer.status, answer.raw) for answer in answers} == {(201, answers[0].raw)}
    assert await house.charges() == 1


async def test_paying_twice_at_once_through_two_processes(house: House, open_house: OpenHouse) -> None:
    """Both may find the order open; Stripe takes the money once, and nobody is told it was taken twice."""
    _, buyer, _, order = await house.ordered()
    async with open_house() as other:
        answers = await asyncio.gather(*(one.pay(buyer, order["id"]) for one in (house, other) * 2))
    assert {answer.status for answer in answers} <= {201, 409}
    charged = {answer.body["charge_id"] for answer in answers if answer.status == 201}
    assert len(charged) == 1
    assert await house.charges() == 1
    assert (await house.types(order["id"])).count("ChargeCreated") == 1


async def test_one_key_at_once_through_two_processes(house: House, open_house: OpenHouse) -> None:
    _, buyer, _, order = await house.ordered()
    async with open_house() as other:
        answers = await asyncio.gather(*(one.pay(buyer, order["id"], key="k") for one in (house, other)))
    assert {(answer.status, answer.raw) for answer in answers} == {(201, answers[0].raw)}
    assert await house.charges() == 1


async def test_a_key_whose_first_request_is_still_running_waits_and_then_says_so(
    house: House, open_house: OpenHouse
) -> None:
    _, buyer, _, order = await house.ordered()
    await house.sandbox("POST", "/_sandbox/faults", {"delay_ms": 600})
    house.services.turns._wait_seconds = 0.2
    first = asyncio.create_task(house.pay(buyer, order["id"], key="k"))
    await asyncio.sleep(0.1)
    same_key, same_order = await asyncio.gather(
        house.pay(buyer, order["id"], key="k"), house.pay(buyer, order["id"], key="another")
    )
    assert (same_key.status, same_key.code) == (409, "idempotency_in_progress")
    assert (same_order.status, same_order.code) == (503, "busy")
    assert (await first).status == 201
    assert len(house.services.turns) == 0


async def test_payment_against_cancellation(house: House) -> None:
    """The money is taken while the buyer cancels: either completed, or cancelled with the money due to go back."""
    outcomes = set()
    for delay_seconds in (0.0, 0.02, 0.05, 2.0):
        _, buyer, ticket, order = await house.ordered()
        await house.sandbox("POST", "/_sandbox/faults", {"delay_ms": 50})

        async def cancel(delay: float, order_id: str, token: str) -> int:
            await asyncio.sleep(delay)
            return (await house.call("DELETE", f"/orders/{order_id}", token=token)).status

        paid, cancelled = await asyncio.gather(
            house.pay(buyer, order["id"]), cancel(delay_seconds, order["id"], buyer.token)
        )
        seen = (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body
        state = (await house.call("GET", f"/tickets/{ticket['id']}")).body
        outcomes.add(seen["status"])
        if seen["status"] == "completed":
            assert (paid.status, cancelled, state["sold"], state["held"]) == (201, 409, 1, 0)
        else:
            assert (seen["status"], paid.status, paid.code) == ("cancelled", 409, "order_not_open")
            assert (cancelled, state["sold"], state["held"]) == (200, 0, 0)
            types = await house.types(order["id"])
            if "ChargeCreated" in types:
                history = await house.services.log.history(UUID(order["id"]))
                assert [event.data.refund_due for event in history if isinstance(event.data, ChargeCreated)] == [True]
    assert outcomes == {"completed", "cancelled"}


async def test_payment_that_ends_after_the_deadline_while_tickets_are_left(house: House) -> None:
    _, buyer, ticket, order = await house.ordered(hold_seconds=2)
    await house.sandbox("POST", "/_sandbox/faults", {"delay_ms": 1200})
    paid = await house.pay(buyer, order["id"])
    assert (paid.status, paid.body["status"]) == (201, "succeeded")
    assert (await house.call("GET", f"/tickets/{ticket['id']}")).body["sold"] == 1


async def test_payment_that_ends_after_the_deadline_when_another_has_the_ticket(house: House) -> None:
    rival = await house.person()
    await house.sandbox("POST", "/_sandbox/faults", {"delay_ms": 1200})
    _, buyer, ticket, order = await house.ordered(quantity=1, hold_seconds=2)
    paying = asyncio.create_task(house.pay(buyer, order["id"], key="k"))
    await asyncio.sleep(2.1)
    won = await house.order(rival, ticket["id"])
    late = await paying
    assert (won.status, late.status, late.code) == (201, 409, "order_not_open")
    assert "goes back" in late.body["detail"]
    await house.sandbox("DELETE", "/_sandbox/faults")
    assert (await house.pay(buyer, order["id"], key="k")).raw == late.raw
    last = [event.type for event in await house.services.log.history(UUID(order["id"]))]
    assert last[-3:] == ["ChargeCreated", "OrderExpired", "ChargeSettled"]


async def test_payment_after_the_deadline(house: House) -> None:
    _, buyer, _, order = await house.ordered(hold_seconds=1)
    await asyncio.sleep(1.1)
    late = await house.pay(buyer, order["id"])
    assert (late.status, late.code) == (409, "order_not_open")
    assert await house.charges() == 0

"""Refunds and closed intents: done once, tried again until done, whatever the provider says."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.event_log import EventLog
from domain.money import Money
from domain.order import Charge, Order, Settlement
from domain.order_refunds import RefundMade
from domain.payouts import Refund, Reversal, Transfer
from domain.ports import Intent, PaymentUnavailable
from projections.models import MODELS
from projections.queries import Queries
from projections.rebuild import rebuild
from streams.attempts import LONGEST_WAIT_SECONDS, Attempts
from streams.reactions import Reactions
from tests.adapters.test_event_store import House, ask, open_house
from tests.domain.scenes import BUYER
from tests.streams.parts import rows

SETTLEMENT = Settlement("txn_1", Money(100, "EUR"), Money(2400, "EUR"))


@dataclass
class Provider:
    """A payment provider that does as it is told."""

    away: bool = False
    canceled: dict[str, str] = field(default_factory=dict)
    """What becomes of an intent that is to be canceled, `canceled` unless said otherwise."""
    refunds: list[str] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    reversals: list[Reversal] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Charges whose settlement was asked for."""
    settlements: dict[str, Settlement] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)

    async def refund(self, order_id: UUID, refund: Refund) -> RefundMade:
        self.refunds.append(refund.charge_id)
        self._check()
        refund_id = f"re_{refund.charge_id}_{refund.tries}"
        return RefundMade(refund_id, refund.charge_id, refund.money, refund.number, refund.tries)

    async def transfer(self, order_id: UUID, transfer: Transfer) -> str:
        self.transfers.append(transfer)
        self._check()
        return f"tr_{transfer.number}"

    async def reverse(self, order_id: UUID, reversal: Reversal) -> str:
        self.reversals.append(reversal)
        self._check()
        return f"trr_{reversal.number}"

    async def settlement(self, charge_id: str) -> Settlement | None:
        self.asked.append(charge_id)
        self._check()
        return self.settlements.get(charge_id)

    def _check(self) -> None:
        if self.away:
            raise PaymentUnavailable("away")

    async def cancel(self, payment_intent_id: str) -> Intent:
        self.cancels.append(payment_intent_id)
        self._check()
        status = self.canceled.get(payment_intent_id, "canceled")
        return Intent(payment_intent_id, status, "secret", self.charges.get(payment_intent_id))

    async def create_intent(self, order_id: UUID, total: Money) -> Intent:
        raise NotImplementedError

    async def confirm(self, payment_intent_id: str, payment_method: str, attempt: str) -> Intent:
        raise NotImplementedError

    async def fetch(self, payment_intent_id: str) -> Intent:
        raise NotImplementedError


@dataclass
class Scene:
    """A marketplace, its read models, the timer and the provider."""

    house: House
    pool: AsyncConnectionPool
    provider: Provider
    reactions: Reactions
    settles: bool = True
    """Whether Stripe says its fee together with the charge."""

    async def tick(self) -> None:
        await rebuild(self.pool, EventLog(self.pool), MODELS.values())
        await self.reactions.tick()
        await rebuild(self.pool, EventLog(self.pool), MODELS.values())

    async def order(self, ticket_id: UUID | None = None) -> Order:
        order = await self.house.order(ticket_id or await self.house.listed())
        await self.house.marketplace.await_payment(order.id, f"pi_{order.id}", ask())
        return order

    async def cancelled(self) -> Order:
        order = await self.order()
        await self.house.marketplace.cancel_order(order.id, BUYER, ask())
        return order

    async def owed(self) -> Order:
        """Its money came after it was cancelled."""
        order = await self.cancelled()
        await self._pay(order)
        return order

    async def paid(self, ticket_id: UUID | None = None) -> Order:
        order = await self.order(ticket_id)
        await self._pay(order)
        return order

    async def _pay(self, order: Order) -> None:
        charge = Charge(f"pi_{order.id}", f"ch_{order.id}", order.total, SETTLEMENT if self.settles else None)
        await self.house.marketplace.take_charge(order.id, charge, ask())

    def events(self, order: Order) -> list[str]:
        found = self.house.rows(
            "SELECT topic FROM stored_events WHERE originator_id = %s ORDER BY originator_version", order.id
        )
        return [row[0].rsplit(".", 1)[1] for row in found]

    def attempts(self) -> list[tuple[str, int, str]]:
        return rows(self.house.url, "SELECT reaction, attempts, last_error FROM reaction_attempts")

    def next_try_is_now(self) -> None:
        self.next_try_is_in("0 seconds")

    def next_try_is_in(self, interval: str) -> None:
        rows(self.house.url, "UPDATE reaction_attempts SET next_try_at = now() + %s::interval", interval)


@pytest.fixture
async def scene(database_url: str, pool: AsyncConnectionPool) -> AsyncIterator[Scene]:
    provider = Provider()
    async with open_house(database_url) as house:
        yield Scene(house, pool, provider, Reactions(Queries(pool), house.marketplace, provider, Attempts(pool)))


async def test_money_that_is_owed_goes_back_once(scene: Scene) -> None:
    order = await scene.owed()
    for _ in range(3):
        await scene.tick()
    assert scene.provider.refunds == [f"ch_{order.id}"]
    assert scene.events(order)[-1] == "RefundCreated"
    row = await Queries(scene.pool).order(order.id)
    assert row is not None
    assert row.refund_id == f"re_ch_{order.id}_0"


async def test_a_read_model_that_lags_does_not_make_a_second_refund(scene: Scene) -> None:
    order = await scene.owed()
    await rebuild(scene.pool, EventLog(scene.pool), MODELS.values())
    for _ in range(3):
        await scene.reactions.tick()
    assert scene.provider.refunds == [f"ch_{order.id}"]


async def test_an_intent_of_a_cancelled_order_is_closed(scene: Scene) -> None:
    order = await scene.cancelled()
    for _ in range(2):
        await scene.tick()
    assert scene.provider.cancels == [f"pi_{order.id}"]
    assert scene.events(order) == ["Created", "AwaitingPayment", "Cancelled", "ChargeFailed"]


async def test_money_that_was_faster_than_the_closing_is_taken_and_goes_back(scene: Scene) -> None:
    order = await scene.cancelled()
    intent_id = f"pi_{order.id}"
    scene.provider.canceled[intent_id] = "succeeded"
    scene.provider.charges[intent_id] = Charge(intent_id, "ch_late", order.total)
    for _ in range(3):
        await scene.tick()
    assert scene.events(order)[-2:] == ["ChargeCreated", "RefundCreated"]
    assert scene.provider.refunds == ["ch_late"]


async def test_a_provider_that_is_away_only_delays(scene: Scene) -> None:
    order = await scene.owed()
    scene.provider.away = True
    await scene.tick()
    scene.next_try_is_in("1 minute")
    await scene.tick()
    assert len(scene.provider.refunds) == 1, "the second try is put off"
    assert scene.attempts() == [("move_money", 1, "PaymentUnavailable: away")]
    scene.next_try_is_now()
    await scene.tick()
    assert scene.attempts() == [("move_money", 2, "PaymentUnavailable: away")]
    scene.provider.away = False
    scene.next_try_is_now()
    await scene.tick()
    assert scene.events(order)[-1] == "RefundCreated"
    assert scene.attempts() == []


async def test_the_waits_between_tries_grow_and_are_bounded(scene: Scene) -> None:
    attempts, order_id, waits = Attempts(scene.pool), uuid4(), []
    for _ in range(30):
        await attempts.failed(order_id, 1, "move_money", "e")
        found = rows(
            scene.house.url, "SELECT extract(epoch FROM next_try_at - clock_timestamp()) FROM reaction_attempts"
        )
        waits.append(math.ceil(float(found[0][0])))
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert max(waits) == waits[-1] == LONGEST_WAIT_SECONDS


async def test_what_changes_the_order_begins_the_waits_anew(scene: Scene) -> None:
    attempts, order_id = Attempts(scene.pool), uuid4()
    for version in (1, 1, 1, 2):
        await attempts.failed(order_id, version, "move_money", "e")
    found = rows(
        scene.house.url,
        "SELECT attempts, version, extract(epoch FROM next_try_at - clock_timestamp()) FROM reaction_attempts",
    )
    assert (found[0][0], found[0][1], math.ceil(float(found[0][2]))) == (1, 2, 1)


async def test_an_intent_that_is_neither_closed_nor_paid_is_asked_for_again(scene: Scene) -> None:
    order = await scene.cancelled()
    scene.provider.canceled[f"pi_{order.id}"] = "processing"
    await scene.tick()
    assert scene.attempts() == [("cancel_intent", 1, "NotYet: the intent is processing")]
    del scene.provider.canceled[f"pi_{order.id}"]
    scene.next_try_is_now()
    await scene.tick()
    assert scene.events(order)[-1] == "ChargeFailed"


async def test_one_that_fails_does_not_hold_up_the_others(scene: Scene) -> None:
    orders = [await scene.cancelled() for _ in range(12)]
    scene.provider.canceled[f"pi_{orders[5].id}"] = "processing"
    await scene.tick()
    closed = [order for order in orders if scene.events(order)[-1] == "ChargeFailed"]
    assert len(closed) == 11


async def test_money_of_another_amount_is_never_taken(scene: Scene) -> None:
    order = await scene.cancelled()
    intent_id = f"pi_{order.id}"
    scene.provider.canceled[intent_id] = "succeeded"
    scene.provider.charges[intent_id] = Charge(intent_id, "ch_1", Money(1, "EUR"))
    await scene.tick()
    assert scene.events(order)[-1] == "Cancelled"
    assert scene.attempts()[0][2].startswith("ChargeMismatch")

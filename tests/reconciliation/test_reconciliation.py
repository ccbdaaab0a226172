"""The log against Stripe's books: what was never told is taken in, what no rule can mend is listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import psycopg
import pytest
from click.testing import CliRunner, Result

from cli.reconcile import reconcile
from domain.marketplace import Ask
from domain.money import Money
from domain.order import Charge
from domain.order_refunds import RefundMade
from domain.payouts import MAX_TRIES
from domain.ports import PaymentUnavailable
from projections.queries import Queries
from projections.reconciling import CHARGES, REFUNDS, FailedRefund, Reconciling
from streams.attempts import Attempts
from streams.house import house_cause
from streams.reactions import Reactions
from streams.reconciliation import DISPUTED, STUCK_ATTEMPTS, Difference, Reconciliation, Report
from tests.api.house import SECRET_KEY, House, Person, running_house, running_sandbox, settings_of


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """Stripe's webhooks never come here."""
    async with (
        running_sandbox(tmp_path / "stripe.db") as stripe,
        running_house(settings_of(database_url, tmp_path, stripe_api_base=stripe)) as opened,
    ):
        yield opened


def parts(house: House) -> tuple[Any, ...]:
    services = house.services
    return Reconciling(services.pool), services.marketplace, services.gateway, services.gateway


def reconciliation(house: House) -> Reconciliation:
    return Reconciliation(*parts(house))


async def reconciled(house: House) -> Report:
    await house.project()
    now = datetime.now(UTC)
    report = await reconciliation(house).everything(now - timedelta(hours=1), now + timedelta(minutes=1))
    await house.project()
    return report


def ask() -> Ask[Any, None]:
    return Ask(house_cause(), lambda _: None)


async def at_stripe(house: House, path: str, **form: str) -> Any:
    """What somebody does with Stripe's API, past this house."""
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{house.sandbox_url}/v1/{path}", data=form, headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def paid(house: House) -> tuple[Person, Any]:
    """A buyer and an order that is paid."""
    _, buyer, _, order = await house.ordered()
    assert (await house.pay(buyer, order["id"])).status == 201
    return buyer, (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body


async def seen(house: House, buyer: Person, order: Any) -> Any:
    return (await house.call("GET", f"/orders/{order['id']}", token=buyer.token)).body


async def test_where_nothing_is_wrong_nothing_is_changed(house: House) -> None:
    buyer, order = await paid(house)
    report = await reconciled(house)
    assert (report.differences, report.compared, report.intents) == ([], {CHARGES: 1}, 0)
    assert (await seen(house, buyer, order))["version"] == order["version"]


async def test_a_payment_of_which_nobody_told_completes_its_order(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
    await at_stripe(house, f"payment_intents/{intent_id}/confirm", payment_method="pm_card_visa")
    report = await reconciled(house)
    assert (report.intents, report.ended, report.differences) == (1, 1, [])
    assert (await seen(house, buyer, order))["status"] == "completed"


async def test_an_intent_that_was_closed_at_stripe_is_closed_here(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
    await at_stripe(house, f"payment_intents/{intent_id}/cancel")
    report = await reconciled(house)
    assert (report.intents, report.ended) == (1, 1)
    assert (await reconciled(house)).intents == 0


async def test_an_intent_that_still_waits_is_left_alone(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    await house.pay(buyer, order["id"], None)
    report = await reconciled(house)
    assert (report.intents, report.ended, report.differences) == (1, 0, [])
    assert (await seen(house, buyer, order))["status"] == "awaiting_payment"


async def test_a_charge_of_which_nobody_told_is_found_in_the_books(house: House) -> None:
    _, buyer, _, order = await house.ordered()
    intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
    confirmed = await at_stripe(house, f"payment_intents/{intent_id}/confirm", payment_method="pm_card_visa")
    await house.project()
    now = datetime.now(UTC)
    report = Report(now - timedelta(hours=1), now + timedelta(minutes=1))
    await reconciliation(house).compare(report)
    charge_id = confirmed["latest_charge"]
    assert report.differences == [
        Difference("not_in_log", CHARGES, UUID(order["id"]), charge_id, Money(2500, "EUR"), "", True)
    ]
    await house.project()
    assert (await seen(house, buyer, order))["status"] == "completed"


async def test_a_refund_made_by_hand_at_stripe_undoes_the_order(house: House) -> None:
    buyer, order = await paid(house)
    refund = await at_stripe(house, "refunds", charge=order["charge_id"])
    report = await reconciled(house)
    assert [(found.kind, found.what, found.reference, found.is_fixed) for found in report.differences] == [
        ("not_in_log", REFUNDS, refund["id"], True)
    ]
    assert report.open_differences == []
    order = await seen(house, buyer, order)
    assert (order["status"], order["refund_id"]) == ("refunded", refund["id"])
    assert (await reconciled(house)).differences == []


async def test_charges_that_stripe_does_not_have_are_differences(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.reconciling._PAGE", 2)
    await paid(house)
    made_up = [f"ch_made_up_{number}" for number in range(3)]
    for charge_id in made_up:
        _, buyer, _, order = await house.ordered()
        intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
        charge = Charge(intent_id, charge_id, Money(2500, "EUR"))
        await house.services.marketplace.take_charge(UUID(order["id"]), charge, ask())
    report = await reconciled(house)
    assert [(found.kind, found.reference, found.is_fixed) for found in report.open_differences] == [
        ("not_at_stripe", charge_id, False) for charge_id in made_up
    ]


async def test_a_charge_of_another_amount_is_a_difference(house: House, database_url: str) -> None:
    _, order = await paid(house)
    await house.project()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE ledger SET amount = 2 * amount WHERE type = 'ChargeCreated'")
    report = await reconciled(house)
    assert [(found.kind, found.reference, found.detail) for found in report.open_differences] == [
        ("not_at_stripe", order["charge_id"], "Stripe has 25.00 EUR")
    ]


async def test_a_second_payment_for_an_order_by_somebody_else_is_never_taken(house: House) -> None:
    buyer, order = await paid(house)
    intent = await at_stripe(
        house, "payment_intents", amount="2500", currency="eur", **{"metadata[order_id]": order["id"]}
    )
    await at_stripe(house, f"payment_intents/{intent['id']}/confirm", payment_method="pm_card_visa")
    report = await reconciled(house)
    assert [(found.kind, found.is_fixed, found.detail) for found in report.differences] == [
        ("not_in_log", False, "the charge is of another payment intent")
    ]
    assert (await seen(house, buyer, order))["version"] == order["version"]


async def test_what_is_of_another_house_on_the_same_account_is_said_and_left(house: House) -> None:
    await house.ordered()
    intent = await at_stripe(house, "payment_intents", amount="100", currency="eur")
    await at_stripe(house, f"payment_intents/{intent['id']}/confirm", payment_method="pm_card_visa")
    report = await reconciled(house)
    assert [(found.kind, found.order_id) for found in report.differences] == [("foreign", None)]
    assert report.open_differences == []


async def test_a_dispute_of_which_nobody_told_is_taken_in(house: House) -> None:
    buyer, order = await paid(house)
    asked = await house.sandbox("POST", f"/_sandbox/charges/{order['charge_id']}/dispute", {})
    report = await reconciled(house)
    dispute_id = asked["id"]
    assert [(found.kind, found.what, found.reference, found.is_fixed) for found in report.differences] == [
        ("not_in_log", DISPUTED, dispute_id, True)
    ]
    assert (await reconciled(house)).differences == []
    await house.sandbox("POST", f"/_sandbox/disputes/{dispute_id}/settle", {"outcome": "lost"})
    await reconciled(house)
    types = await house.types(order["id"])
    assert types[-3:] == ["DisputeCreated", "DisputeFundsWithdrawn", "DisputeClosed"]
    assert (await seen(house, buyer, order))["status"] == "completed"


async def test_work_that_fails_again_and_again_is_listed(house: House, database_url: str) -> None:
    _, order = await paid(house)
    await house.services.marketplace.refund_order(UUID(order["id"]), uuid4(), None, ask(), admin=True)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO reaction_attempts VALUES (%s, 'move_money', %s, now(), 'PaymentUnavailable: no', 1)",
            (order["id"], STUCK_ATTEMPTS),
        )
    (found,) = (await reconciled(house)).open_differences
    assert (found.kind, found.what, found.order_id) == ("stuck", "move_money", UUID(order["id"]))


async def test_a_refund_that_no_card_takes_is_listed(house: House) -> None:
    _, order = await paid(house)
    market, order_id = house.services.marketplace, UUID(order["id"])
    await market.refund_order(order_id, uuid4(), None, ask(), admin=True)
    for tries in range(MAX_TRIES):
        made = RefundMade(f"re_{tries}", order["charge_id"], Money(2500, "EUR"), 1, tries)
        await market.note_refund(order_id, made, ask())
        await market.note_refund_failure(order_id, made.refund_id, ask())
    await house.project()
    assert await Reconciling(house.services.pool).failed_refunds(9) == [FailedRefund(order_id, 1, Money(2500, "EUR"))]
    report = await reconciled(house)
    assert ("owed", order_id, Money(2500, "EUR")) in [
        (found.kind, found.order_id, found.money) for found in report.open_differences
    ]


async def test_the_timer_asks_about_what_has_been_quiet(house: House, database_url: str) -> None:
    _, buyer, _, order = await house.ordered()
    intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
    await at_stripe(house, f"payment_intents/{intent_id}/confirm", payment_method="pm_card_visa")
    await house.project()
    timer = reconciliation(house)
    await timer.tick()
    assert (await seen(house, buyer, order))["status"] == "awaiting_payment", "its answer may be on its way"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE buyer_orders SET updated_at = now() - interval '3 minutes'")
    await timer.tick()
    await house.project()
    assert (await seen(house, buyer, order))["status"] == "completed"


class Clock(datetime):
    """The time, and some more."""

    later = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.later


async def test_another_timer_mends_what_the_log_lacks(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.reconciliation.MARGIN", timedelta(minutes=-1))
    monkeypatch.setattr("streams.reconciliation.datetime", Clock)
    timer = reconciliation(house)

    async def paid_past_the_house() -> str:
        _, buyer, _, order = await house.ordered()
        intent_id = (await house.pay(buyer, order["id"], None)).body["payment_intent_id"]
        await at_stripe(house, f"payment_intents/{intent_id}/confirm", payment_method="pm_card_visa")
        await house.project()
        await timer.tick_books()
        await house.project()
        return str((await seen(house, buyer, order))["status"])

    assert await paid_past_the_house() == "completed"
    assert await paid_past_the_house() == "awaiting_payment", "the hour is not over"
    monkeypatch.setattr(Clock, "later", timedelta(hours=24, minutes=1))
    assert await paid_past_the_house() == "completed"


class Compared(Reconciliation):
    """Tells what it compares; Stripe may be away."""

    is_away = False

    async def compare(self, report: Report) -> None:
        if self.is_away:
            raise PaymentUnavailable("Stripe is away")
        self.times.append((report.since, report.until))
        await super().compare(report)

    async def after(self, later: timedelta, monkeypatch: pytest.MonkeyPatch) -> list[tuple[datetime, datetime]]:
        """What is compared so much later."""
        monkeypatch.setattr(Clock, "later", later)
        monkeypatch.setattr("streams.reconciliation.datetime", Clock)
        self.times: list[tuple[datetime, datetime]] = []
        await self.tick_books()
        return self.times


async def test_it_goes_on_where_it_was_and_compares_a_day_each_day(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = Compared(*parts(house))
    [(since, until)] = await timer.after(timedelta(0), monkeypatch)
    assert until - since == timedelta(hours=24, minutes=45)
    assert await timer.after(timedelta(minutes=59), monkeypatch) == []
    [(since, after_an_hour)] = await timer.after(timedelta(hours=1, seconds=1), monkeypatch)
    assert since == until
    assert after_an_hour - until >= timedelta(hours=1)
    [(since, until)] = await timer.after(timedelta(hours=3), monkeypatch)
    assert since == after_an_hour
    [(since, until)] = await timer.after(timedelta(hours=25), monkeypatch)
    assert until - since == timedelta(hours=24, minutes=45)


async def test_a_comparison_that_failed_is_made_some_minutes_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = Compared(*parts(house))
    [(_, until)] = await timer.after(timedelta(0), monkeypatch)
    timer.is_away = True
    with pytest.raises(PaymentUnavailable):
        await timer.after(timedelta(hours=2), monkeypatch)
    timer.is_away = False
    assert await timer.after(timedelta(hours=2, minutes=4), monkeypatch) == []
    [(since, _)] = await timer.after(timedelta(hours=2, minutes=6), monkeypatch)
    assert since == until


# The command --------------------------------------------------------------------------------------------------------


async def stagedoor(house: House, *arguments: str, **environment: str) -> Result:
    variables = house.services.settings.as_environment() | environment
    return await asyncio.to_thread(CliRunner().invoke, reconcile, arguments, env=variables)


async def test_the_command_mends_lists_and_says_so_by_its_exit_code(house: House) -> None:
    _, order = await paid(house)
    refund = await at_stripe(house, "refunds", charge=order["charge_id"])
    await house.project()
    said = await stagedoor(house)
    assert said.exit_code == 0
    what = f"refund {refund['id']} 25.00 EUR of order {order['id']}: the log did not have it: mended"
    assert said.stdout.splitlines()[1:] == [
        "0 payments without a known end: 0 have come to one",
        "1 charges, 1 refunds and 0 disputes of Stripe's compared",
        what,
        "1 differences, 0 to be looked at",
    ]
    await house.project()
    assert (await stagedoor(house)).stdout.splitlines()[-1] == "no difference"


async def test_what_is_left_is_exit_code_1(house: House, database_url: str) -> None:
    _, order = await paid(house)
    await house.project()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE ledger SET reference = 'ch_made_up' WHERE type = 'ChargeCreated'")
    said = await stagedoor(house, "--json")
    assert said.exit_code == 1
    (found,) = msgspec.json.decode(said.stdout)["differences"]
    assert (found["kind"], found["reference"], found["order_id"]) == ("not_at_stripe", "ch_made_up", order["id"])


@pytest.mark.parametrize("arguments", [("--day", "yesterday"), ("--day", "2999-01-01"), ("--days", "0"), ("extra",)])
async def test_wrong_input_is_said(house: House, arguments: tuple[str, ...]) -> None:
    said = await stagedoor(house, *arguments)
    assert (said.exit_code, said.stdout) == (2, "")
    assert "Traceback" not in said.stderr


async def test_a_stripe_that_is_away_is_said(house: House) -> None:
    await house.ordered()
    said = await stagedoor(house, STRIPE_API_BASE="http://127.0.0.1:1")
    assert (said.exit_code, said.stdout) == (1, "")
    assert "Stripe does not answer" in said.stderr


@pytest.mark.parametrize("outcome", ["won", "lost"])
async def test_a_refund_that_a_dispute_held_up_is_made_or_carried_by_the_bank(house: House, outcome: str) -> None:
    _, order = await paid(house)
    services, order_id = house.services, UUID(order["id"])
    asked = await house.sandbox("POST", f"/_sandbox/charges/{order['charge_id']}/dispute", {})
    await services.marketplace.refund_order(order_id, uuid4(), None, ask(), admin=True)
    reacting = Reactions(Queries(services.pool), services.marketplace, services.gateway, Attempts(services.pool))

    async def react() -> None:
        await house.project()
        await reacting.tick()

    await react()
    assert (await house.types(order["id"]))[-1] == "OrderRefunded", "Stripe refuses it"
    await reconciled(house)
    await react()
    await house.sandbox("POST", "/_sandbox/faults", {"settle_delay_ms": 0})
    evidence = {"won": "winning_evidence", "lost": "losing_evidence"}[outcome]
    await at_stripe(house, f"disputes/{asked['id']}", **{"evidence[uncategorized_text]": evidence, "submit": "true"})
    await asyncio.sleep(0.3)
    await reconciled(house)
    await react()
    report = await reconciled(house)
    assert report.differences == []
    last = await services.marketplace.look(order_id, Ask(house_cause(), lambda order: order))
    assert last.due_moves() == ()
    made = last.refunds[0].refund_id or ""
    assert made.startswith("re_" if outcome == "won" else asked["id"])

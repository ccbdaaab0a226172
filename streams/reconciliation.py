"""Compares the log with Stripe's books, and tells the log what it was never told.

Webhooks are lost, answers too; what became of an intent is asked for here until it is known. What Stripe has and the
log has not is told to the order as if its webhook had come: the order decides, as always. What the log has and Stripe
has not, or has otherwise, no rule can mend: it is a difference for a person.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from domain.errors import DomainError
from domain.marketplace import Marketplace
from domain.money import Money
from domain.payouts import MAX_TRIES
from domain.ports import BookedCharge, BookedRefund, PaymentBooks, PaymentGateway
from projections.reconciling import CHARGES, REFUNDS, OpenIntent, Reconciling, SeenAtStripe
from streams.house import house_ask, tell_end

INTERVAL_SECONDS = 5.0

PAGE = 50
"""Intents asked about in one tick: ten requests a second, a tenth of what Stripe allows."""

QUIET = timedelta(minutes=2)
"""Before that, the answer or the webhook is still on its way."""

COMPARE_EVERY = timedelta(hours=1)
"""What is new since the last time: a day with a million charges is ten thousand of Stripe's pages."""

COMPARE_DAY_EVERY, DAY = timedelta(days=1), timedelta(hours=25)
"""All of a day, since what was compared may have changed: a refund fails later. So does the first time of a process."""

MARGIN = timedelta(minutes=15)
"""So long the newest may still be on its way."""

AFTER_FAILURE = timedelta(minutes=5)
"""Until a comparison that failed is tried again."""

AROUND = timedelta(hours=1)
"""Stripe's time of a charge is not the log's: the books are read so much further on both sides, and beyond that ids
are asked for one by one."""

DISPUTES = timedelta(days=120)
"""So far back disputes are looked at: a bank takes weeks, and two to three months at most
(docs.stripe.com/disputes/how-disputes-work)."""

DISPUTED = "DisputeCreated"

BATCH = 100

STUCK_ATTEMPTS = 5
MAX_STUCK = 1_000

B = TypeVar("B", BookedCharge, BookedRefund)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that Stripe and the log tell differently."""

    kind: str
    """`not_in_log`, `not_at_stripe`, `foreign`, `failed_at_stripe`, `stuck` or `owed`."""
    what: str
    """`ChargeCreated`, `RefundCreated`, `DisputeCreated`: what the log says of it; or the reaction that is stuck."""
    order_id: UUID | None
    reference: str
    """Stripe's id."""
    money: Money | None
    detail: str
    is_fixed: bool
    """Nothing is left to do."""


@dataclass(slots=True)
class Report:
    """What one comparison came to."""

    since: datetime
    until: datetime
    intents: int = 0
    """Intents without a known end that Stripe was asked about."""
    ended: int = 0
    """Of these, those that had come to one."""
    compared: Counter[str] = field(default_factory=Counter)
    """Of Stripe's books, by kind (`CHARGES`, `REFUNDS`, `DISPUTED`)."""
    differences: list[Difference] = field(default_factory=list)

    def add(
        self,
        kind: str,
        what: str,
        order_id: UUID | None,
        reference: str,
        *,
        money: Money | None = None,
        detail: str = "",
        is_fixed: bool = False,
    ) -> None:
        self.differences.append(Difference(kind, what, order_id, reference, money, detail, is_fixed))

    @property
    def open_differences(self) -> list[Difference]:
        return [difference for difference in self.differences if not difference.is_fixed]


class Reconciliation:
    """Used by the worker's timer and by `stagedoor reconcile`."""

    def __init__(
        self, reading: Reconciling, marketplace: Marketplace, gateway: PaymentGateway, books: PaymentBooks
    ) -> None:
        self._reading = reading
        self._marketplace = marketplace
        self._gateway = gateway
        self._books = books
        self._last: OpenIntent | None = None
        self._compare_at = self._compare_day_at = self._compared_until = datetime.min.replace(tzinfo=UTC)

    async def tick(self) -> None:
        """Asks about the next page of intents. Raises `PaymentUnavailable` and `psycopg.Error`."""
        page = await self._reading.open_intents(datetime.now(UTC) - QUIET, PAGE, self._last)
        for intent in page:
            await self.ask(intent)
        self._last = page[-1] if len(page) == PAGE else None

    async def tick_books(self) -> None:
        """Compares the books, when it is time to; for minutes on a day of a million charges.

        Raises:
            PaymentUnavailable, psycopg.Error.
        """
        now = datetime.now(UTC)
        if now < self._compare_at:
            return
        self._compare_at = now + AFTER_FAILURE
        is_day = now >= self._compare_day_at
        report = Report(now - DAY if is_day else self._compared_until, now - MARGIN)
        await self.compare(report)
        self._compare_at, self._compared_until = now + COMPARE_EVERY, report.until
        if is_day:
            self._compare_day_at = now + COMPARE_DAY_EVERY
        for found in report.differences:
            level = logging.WARNING if found.is_fixed else logging.ERROR
            log.log(
                level, "%s %s of order %s: %s %s", found.what, found.reference, found.order_id, found.kind, found.detail
            )

    async def everything(self, since: datetime, until: datetime) -> Report:
        """All intents without a known end, and the books of this time.

        Raises:
            PaymentUnavailable, psycopg.OperationalError.
        """
        report, begun = Report(since, until), datetime.now(UTC)
        last: OpenIntent | None = None
        while page := await self._reading.open_intents(begun, PAGE, last):
            last = page[-1]
            for intent in page:
                report.intents += 1
                report.ended += await self.ask(intent)
        await self.compare(report)
        return report

    async def ask(self, intent: OpenIntent) -> bool:
        """Asks what became of an intent, and tells the order; whether it has come to an end."""
        seen = await self._gateway.fetch(intent.payment_intent_id)
        try:
            return await tell_end(self._marketplace, intent.order_id, seen)
        except DomainError as error:
            log.error("intent %s of order %s: %s", intent.payment_intent_id, intent.order_id, error)
            return False

    async def compare(self, report: Report) -> None:
        """Stripe's charges and refunds of the report's time with the ledger's, and the other way round."""
        since, until = report.since - AROUND, report.until + AROUND
        async with self._reading.seen_at_stripe() as seen:
            await self._look(CHARGES, self._books.charges(since, until), report, seen)
            await self._look(REFUNDS, self._books.refunds(since, until), report, seen)
            for kind in (CHARGES, REFUNDS):
                async for booked in seen.booked_otherwise(kind, report.since, report.until):
                    money = booked.at_stripe or await self._find(kind, booked.reference)
                    if money != booked.money:
                        detail = "" if money is None else f"Stripe has {money}"
                        report.add(
                            "not_at_stripe", kind, booked.order_id, booked.reference, money=booked.money, detail=detail
                        )
        await self._look_at_disputes(report)
        for stuck in await self._reading.stuck(STUCK_ATTEMPTS, MAX_STUCK):
            detail = f"tried {stuck.attempts} times: {stuck.last_error}"
            report.add("stuck", stuck.reaction, stuck.order_id, "", detail=detail)
        for failed in await self._reading.failed_refunds(MAX_STUCK):
            detail = f"refund {failed.number} came back {MAX_TRIES} times: pay the buyer in another way"
            report.add("owed", REFUNDS, failed.order_id, "", money=failed.money, detail=detail)

    async def _look_at_disputes(self, report: Report) -> None:
        """How each dispute of the last months stands: what is told of them comes over weeks."""
        async for booked in self._books.disputes(report.until - DISPUTES, report.until):
            owner = None if booked.payment_intent_id is None else await self._books.order_of(booked.payment_intent_id)
            if owner is None:
                continue
            report.compared[DISPUTED] += 1
            word = booked.word
            told = word.dispute
            found = Difference("not_in_log", DISPUTED, owner, told.dispute_id, told.money, "", False)
            await self._tell(report, found, partial(self._marketplace.note_dispute, owner, word, house_ask()))

    async def _find(self, kind: str, reference: str) -> Money | None:
        """What Stripe has under an id, whenever it was made."""
        if kind == CHARGES:
            charge = await self._books.find_charge(reference)
            return None if charge is None else charge.charge.money
        refund = await self._books.find_refund(reference)
        return None if refund is None else refund.refund.money

    async def _look(self, kind: str, books: AsyncIterator[B], report: Report, seen: SeenAtStripe) -> None:
        """Goes through Stripe's side, and mends what the log lacks."""
        batch: list[B] = []
        async for booked in books:
            batch.append(booked)
            if len(batch) == BATCH:
                await self._look_at(kind, batch, report, seen)
                batch = []
        await self._look_at(kind, batch, report, seen)

    async def _look_at(self, kind: str, batch: list[B], report: Report, seen: SeenAtStripe) -> None:
        await seen.note(kind, [_reference(booked) for booked in batch], [_money(booked) for booked in batch])
        owners = [booked.order_id or await self._owner(booked) for booked in batch]
        named = [(owner, booked) for owner, booked in zip(owners, batch, strict=True) if owner is not None]
        known = await self._reading.known(
            kind, [owner for owner, _ in named], [_reference(booked) for _, booked in named]
        )
        for owner, booked in zip(owners, batch, strict=True):
            if not report.since <= booked.created_at < report.until:
                continue
            report.compared[kind] += 1
            if owner is None:
                detail = "it names no order of this house"
                report.add(
                    "foreign", kind, None, _reference(booked), money=_money(booked), detail=detail, is_fixed=True
                )
            elif isinstance(booked, BookedRefund) and booked.failed:
                await self._tell_of(owner, booked, report, "failed_at_stripe")
            elif _reference(booked) not in known:
                await self._tell_of(owner, booked, report, "not_in_log")

    async def _owner(self, booked: BookedCharge | BookedRefund) -> UUID | None:
        """The order that the intent names; what is made by hand at Stripe names none itself."""
        intent_id = booked.charge.payment_intent_id if isinstance(booked, BookedCharge) else booked.payment_intent_id
        return None if intent_id is None else await self._books.order_of(intent_id)

    async def _tell_of(self, order_id: UUID, booked: BookedCharge | BookedRefund, report: Report, kind: str) -> None:
        market, reference = self._marketplace, _reference(booked)
        what = CHARGES if isinstance(booked, BookedCharge) else REFUNDS
        tell: Callable[[], Awaitable[int]]
        if isinstance(booked, BookedCharge):
            tell = partial(market.take_charge, order_id, booked.charge, house_ask())
        elif booked.failed:
            tell = partial(market.note_refund_failure, order_id, reference, house_ask())
        else:
            tell = partial(market.note_refund, order_id, booked.refund, house_ask())
        await self._tell(report, Difference(kind, what, order_id, reference, _money(booked), "", False), tell)

    async def _tell(self, report: Report, found: Difference, tell: Callable[[], Awaitable[int]]) -> None:
        """Tells the order, as a webhook would have. It is a difference if that was news: the ledger may only lag."""
        assert found.order_id is not None
        try:
            before = await self._marketplace.look(found.order_id, house_ask())
            after = await tell()
        except DomainError as error:
            report.differences.append(replace(found, detail=str(error)))
        else:
            if after != before:
                report.differences.append(replace(found, is_fixed=True))


def _reference(booked: BookedCharge | BookedRefund) -> str:
    return booked.charge.charge_id if isinstance(booked, BookedCharge) else booked.refund.refund_id


def _money(booked: BookedCharge | BookedRefund) -> Money:
    return booked.charge.money if isinstance(booked, BookedCharge) else booked.refund.money

"""What a seller sold, and of an administrator everybody: out of the ledger, soon after an order and not with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiohttp import web

from api import reads, sales_models
from api.answers import respond
from api.calls import Call
from api.problems import invalid
from api.sales_models import DEFAULT_DAYS, MAX_DAYS, MAX_STEPS
from projections.sales import Question, Sales, SalesQueries, Sums

_STEP = {"hour": timedelta(hours=1), "day": timedelta(days=1), "month": timedelta(days=28)}
"""The shortest of each kind."""

MAX_ROWS = 10_000
"""Of a series: ten currencies with something in every step."""


async def read(call: Call, query: sales_models.SalesQuery) -> web.Response:
    """GET /api/analytics/sales"""
    since, until = _time(query)
    # Whose they are is no parameter: a seller's own, an administrator's everybody's.
    seller_id = None if call.user.is_admin else call.user.user_id
    question = Question(seller_id, since, until, query.interval, query.ticket_id, query.currency)
    found = await call.services.sales.read(question)
    assert found is not None, "no sales are an answer"
    if len(found.steps) > MAX_ROWS:
        raise invalid("currency", f"more than {MAX_ROWS} steps: ask for one currency, or a longer interval")
    rows = await reads.tickets(call.services, list(dict.fromkeys(ticket_id for ticket_id, _, _ in found.tickets)))
    return respond(_shown(question, found, {row.id: row.title for row in rows}))


def sales_reader(queries: SalesQueries) -> Callable[[Sequence[Question]], Awaitable[Mapping[Question, Sales]]]:
    """Reads sales. What it returns raises `psycopg.OperationalError`."""

    async def look(questions: Sequence[Question]) -> dict[Question, Sales]:
        return {question: await queries.sales(question) for question in questions}

    return look


def _time(query: sales_models.SalesQuery) -> tuple[datetime, datetime]:
    """Raises `Refused` (422): it ends before it begins, is too long, or has too many steps."""
    try:
        until = (query.until or datetime.now(UTC)).astimezone(UTC)
        since = (query.since or until - timedelta(days=DEFAULT_DAYS)).astimezone(UTC)
    except OverflowError as error:
        raise invalid("from", "expected a time after the first year and before the last") from error
    if since >= until:
        raise invalid("from", "expected a time before `to`")
    if until - since > timedelta(days=MAX_DAYS):
        raise invalid("from", f"expected at most {MAX_DAYS} days before `to`")
    if (until - since) / _STEP[query.interval] > MAX_STEPS:
        raise invalid("interval", f"more than {MAX_STEPS} steps: take longer ones, or a shorter time")
    return since, until


def _shown(question: Question, found: Sales, titles: Mapping[UUID, str]) -> sales_models.Sales:
    totals = found.totals()
    nothing = Sums(0, 0, 0, 0, 0, 0)
    return sales_models.Sales(
        seller_id=question.seller_id,
        since=question.since,
        until=question.until,
        interval=question.interval,
        totals=[
            _total(question, found, currency, totals.get(currency, nothing))
            for currency in sorted(totals.keys() | found.owed.keys())
        ],
        series=[
            sales_models.SalesStep(
                start, currency, of.tickets, of.gross, of.refunded, of.fees, of.net, _paid_out(question, of)
            )
            for start, currency, of in found.steps
        ],
        tickets=[
            sales_models.TicketSales(
                ticket_id, titles.get(ticket_id), currency, of.tickets, of.gross, of.refunded, of.net
            )
            for ticket_id, currency, of in found.tickets
        ],
    )


def _total(question: Question, found: Sales, currency: str, sums: Sums) -> sales_models.SalesTotal:
    return sales_models.SalesTotal(
        currency=currency,
        orders=found.orders.get(currency, 0),
        tickets=sums.tickets,
        gross=sums.gross,
        fees=sums.fees,
        refunded=sums.refunded,
        net=sums.net,
        paid_out=_paid_out(question, sums),
        owed=None if question.ticket_id is not None else found.owed.get(currency, 0),
    )


def _paid_out(question: Question, sums: Sums) -> int | None:
    # Sellers are paid for an order as a whole: of one listing nobody can say.
    return None if question.ticket_id is not None else sums.paid_out

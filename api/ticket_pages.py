"""Pages of listings as they are answered: found, shaped and encoded once for all who ask for the same page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from api import models, representations
from api.answers import Answer, answer
from projections.queries import Page, Queries, TicketFilter, TicketRow


class TicketSearch(NamedTuple):
    """One page asked for."""

    wanted: TicketFilter
    sort: str
    limit: int
    cursor: str | None


def page_reader(queries: Queries) -> Callable[[Sequence[TicketSearch]], Awaitable[Mapping[TicketSearch, Answer]]]:
    """Reads pages. What it gives back raises `projections.queries.BadCursor` and `psycopg.OperationalError`."""

    async def read(searches: Sequence[TicketSearch]) -> dict[TicketSearch, Answer]:
        return {search: _answer(await queries.tickets(*search)) for search in searches}

    return read


def _answer(page: Page[TicketRow]) -> Answer:
    return answer(200, models.TicketPage([representations.ticket(row) for row in page.items], page.next_cursor))


def listing_reader(queries: Queries) -> Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, TicketRow]]]:
    """Reads listings by id. What it returns raises `psycopg.OperationalError`."""

    async def read(ids: Sequence[UUID]) -> dict[UUID, TicketRow]:
        return {row.id: row for row in await queries.tickets_by_id(ids)}

    return read

"""Sends the rows of an import to the marketplace: each one once, in whatever run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cli.account import Account
from cli.client import ClientError, ProblemError
from cli.contract import Ticket
from cli.import_rows import BadRow, GoodRow, ImportFileError, Row, idempotency_key, identity_of
from cli.meter import Meter

WORKERS = 16
"""Requests at the same time: the marketplace writes what arrives together in one transaction."""

WAITING_ROWS = 16
"""Rows read ahead for one worker: the bound of what is in memory."""

ROWS_BETWEEN_PAUSES = 200
"""Rows that need no request are passed without waiting; so often the others get their turn."""

FAULTS_OF_A_ROW = (400, 413, 422)
"""Answers that are about the body; any other error would be the same for every row and ends the import."""


@dataclass
class Summary:
    """What became of the rows."""

    imported: int = 0
    already_there: int = 0
    bad: int = 0
    stopped: str | None = None
    """Why it ended before the last row."""


async def listings_of(account: Account, meter: Meter) -> Counter[bytes]:
    """How many listings of each identity the seller has."""
    known: Counter[bytes] = Counter()
    async for ticket in account.pages(f"/users/{account.id}/tickets", Ticket):
        known[identity_of(ticket)] += 1
        meter.advance()
    return known


class Upload:
    """One import. Rows of the same identity go through the same worker, so that they are made in the file's order."""

    def __init__(
        self,
        account: Account,
        known: Counter[bytes],
        *,
        summary: Summary,
        meter: Meter,
        report: Callable[[BadRow], None],
    ) -> None:
        self._account = account
        self._known = known
        self._summary = summary
        self._meter = meter
        self._report = report
        self._queues: list[asyncio.Queue[tuple[GoodRow, int] | None]] = [
            asyncio.Queue(WAITING_ROWS) for _ in range(WORKERS)
        ]

    async def run(self, rows: Iterable[Row]) -> None:
        """Sends what is not there yet. The n-th row of one identity is there when the seller has n listings of it.

        When the marketplace fails, `summary.stopped` says why; a later run goes on.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for queue in self._queues:
                    group.create_task(self._work(queue))
                await self._feed(rows)
        except* (ClientError, ImportFileError) as errors:
            self._summary.stopped = str(errors.exceptions[0])

    async def _feed(self, rows: Iterable[Row]) -> None:
        numbers: Counter[bytes] = Counter()
        for count, row in enumerate(rows):
            if isinstance(row, BadRow):
                self._bad(row)
            else:
                numbers[row.identity] += 1
                number = numbers[row.identity]
                if number <= self._known[row.identity]:
                    self._summary.already_there += 1
                    self._moved()
                else:
                    await self._queues[row.identity[0] % WORKERS].put((row, number))
            if count % ROWS_BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
        for queue in self._queues:
            await queue.put(None)

    async def _work(self, queue: asyncio.Queue[tuple[GoodRow, int] | None]) -> None:
        while (job := await queue.get()) is not None:
            row, number = job
            key = idempotency_key(self._account.id, row, number)
            try:
                made = await self._account.make_once("/tickets", row.body, key)
            except ProblemError as problem:
                if problem.status not in FAULTS_OF_A_ROW:
                    raise
                self._bad(BadRow(row.place, problem.faults))
            else:
                self._summary.imported += made
                self._summary.already_there += not made  # by a run so short ago that the list did not show it yet
                self._moved()

    def _bad(self, row: BadRow) -> None:
        self._summary.bad += 1
        self._report(row)
        self._moved()

    def _moved(self) -> None:
        done = self._summary
        self._meter.to(
            done.imported + done.already_there + done.bad,
            f"{done.imported:,} imported, {done.already_there:,} already there, {done.bad:,} bad",
        )

"""What the bank decides later: a row says how it will end, and this ends it when its time has come.

The time is `settle_delay_ms` after the row was made, or when the control interface says so. Rows survive a restart.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from sandbox import disputes, refunds
from sandbox.calls import Call
from sandbox.cards import CARDS
from sandbox.errors import StripeError
from sandbox.events import Events
from sandbox.faults import Faults
from sandbox.store import Store, StoreError

AT_A_TIME = 50
"""As many as are ended before other work gets its turn."""
_IDLE_SECONDS = 60.0
"""The longest sleep: only a guard, since every commit and switch wakes the settler."""
_STORE_RETRY_SECONDS = 1.0

_TABLES = {"ch": "charges", "du": "disputes", "re": "refunds"}
"""By the prefix of the id: where the object is that is to be settled."""

log = logging.getLogger("sandbox")


class Settler:
    """Ends what is due."""

    def __init__(self, store: Store, events: Events, faults: Faults) -> None:
        self._store = store
        self._events = events
        self._faults = faults
        self._wake = asyncio.Event()
        store.on_commit(self._wake.set)
        faults.on_change(self._wake.set)

    async def run(self) -> None:
        """Settles until cancelled."""
        while True:
            self._wake.clear()
            try:
                sleep_seconds = self._settle_due()
            except StoreError as error:
                log.error("what is to be settled cannot be written: %s", error)
                sleep_seconds = _STORE_RETRY_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(sleep_seconds):
                    await self._wake.wait()

    def _settle_due(self) -> float:
        """Ends what is due now, up to AT_A_TIME. Returns the seconds until there may be more."""
        now = time.time() - self._faults.now.settle_delay_ms / 1000
        rows = self._store.read("SELECT subject, outcome, since FROM settlements ORDER BY since LIMIT ?", (AT_A_TIME,))
        for subject, outcome, since in rows:
            if since > now:
                return float(since - now)
            try:
                with self._store.unit():
                    self._settle(subject, outcome)
            except StripeError:
                # It makes no sense any more: the charge to be disputed has been refunded since.
                with self._store.unit():
                    self._call(subject).settled(subject)
        return 0.0 if len(rows) == AT_A_TIME else _IDLE_SECONDS

    def _settle(self, subject: str, outcome: str) -> None:
        call = self._call(subject)
        table = _TABLES[subject.partition("_")[0]]
        record = self._store.get(table, subject)
        assert record is not None, "what is to be settled is never deleted"
        if table == "refunds":
            refunds.settle(call, record, passed=outcome == "succeed")
        elif table == "disputes":
            disputes.settle(call, record, outcome)
        else:
            claim = CARDS[record["card"]].claim
            assert claim is not None, "only such a card's charge is disputed by itself"
            disputes.open_dispute(call, record, claim)

    def _call(self, subject: str) -> Call:
        return Call.own(self._store, self._events, subject)

"""A marketplace with buyers, and loads of orders on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from bench.driver import Load, Outcome, drive
from bench.people import make_accounts, make_tokens
from bench.requests import Orders
from bench.seeds import listing, sow_listings
from bench.stand import Stand, stand

WARM_UP_SECONDS = 3.0
"""Of load before anything is measured: the broker's Java compiles itself meanwhile."""

HOLD_SECONDS = "86400"
"""No hold falls due while something else is measured; what falls due has a benchmark of its own."""

CREATED = 201


@dataclass(frozen=True)
class Sale:
    """What came of a load of orders."""

    outcome: Outcome
    cpu_shares: dict[str, float] = field(default_factory=dict)
    """Of one processor, by part of the marketplace."""

    def as_json(self) -> dict[str, Any]:
        """For the details of a figure."""
        return {**summary(self.outcome), "cpu_shares": self.cpu_shares}


def summary(outcome: Outcome) -> dict[str, Any]:
    """A load in numbers."""
    return {
        "per_second": round(outcome.per_second, 1),
        "answers": {str(status): count for status, count in outcome.statuses.items()},
        **{f"p{percent:g}_ms": round(outcome.percentile_ms(percent), 2) for percent in (50, 95, 99, 99.9)},
        "driver_cpu_share": round(outcome.driver_cpu_share, 3),
    }


class Market:
    """A stand with accounts on it. Everybody but the first, who sells, buys."""

    def __init__(self, on: Stand, buyers: int) -> None:
        self.stand = on
        self._seller, *self.buyers = make_accounts(on.database_url, buyers + 1)

    def listings(self, count: int = 1, quantity: int = 1_000_000) -> list[UUID]:
        """New ones; a load has its own, so that each begins with the same state."""
        return sow_listings(
            self.stand.database_url, self._seller, [listing(number, quantity=quantity) for number in range(count)]
        )

    def order(
        self,
        connections: int,
        tickets: Sequence[UUID],
        *,
        buyers: int | None = None,
        keyed: bool = False,
        **limits: Any,
    ) -> Sale:
        """Sends orders, once the read models have caught up with everything before, so that nothing else is at work.

        Args:
            buyers: how many take turns; by default as many as there are connections.
            limits: `seconds`, `count`, `rate` and `grace_seconds` of a `bench.driver.Load`.

        Raises:
            RuntimeError: the read models do not catch up, or a part of the marketplace died under the load.
        """
        self.stand.await_read_models()
        tokens = make_tokens(self.stand.database_url, self.buyers[: buyers or connections])
        requests = Orders(tokens, tickets, keyed, series=str(tickets[0]))
        parts, before = self.stand.parts(), self.stand.cpu_seconds()
        outcome = drive(Load(self.stand.url, connections, requests, **limits))
        after = self.stand.cpu_seconds()
        if self.stand.parts() != parts:
            raise RuntimeError(f"a part died under load: {parts} became {self.stand.parts()}")
        shares = {name: round((after[name] - before[name]) / outcome.elapsed_seconds, 3) for name in parts}
        return Sale(outcome, shares)


@contextmanager
def market(buyers: int, *, api_processes: int = 1) -> Iterator[Market]:
    """A fresh and warm one for the `with` block."""
    with stand(api_processes=api_processes, STAGEDOOR_HOLD_SECONDS=HOLD_SECONDS) as on:
        made = Market(on, buyers)
        made.order(min(buyers, 32), made.listings(), seconds=WARM_UP_SECONDS).outcome.only(CREATED)
        yield made

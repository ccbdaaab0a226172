"""What a run shows at its end: tables for people, figures for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from cli.client import Traffic
from cli.demonstration.audit import OPEN, Evidence
from cli.demonstration.catalogue import Catalogue, Listing
from cli.demonstration.tally import Tally
from domain.money import decimal

TOP_MATCHES = 10
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
CURRENCY = "USD"


@dataclass(frozen=True)
class Result:
    """One finished run. `evidence` is None when the marketplace did not tell how it ended."""

    url: str
    buyers: int
    seconds: float
    catalogue: Catalogue
    tally: Tally
    traffic: Traffic
    evidence: Evidence | None
    differences: list[str]


def figures(result: Result) -> dict[str, Any]:
    """Everything the run counted, ready for JSON; latencies in milliseconds, money in minor units."""
    tally = result.tally
    return {
        "url": result.url,
        "buyers": result.buyers,
        "seconds": round(result.seconds, 3),
        "adds_up": not result.differences,
        "differences": result.differences,
        "orders": _orders(result),
        "money": {"amount": result.evidence.orders.completed.amount if result.evidence else None, "currency": CURRENCY},
        "answers": {
            "paid": tally.paid.orders,
            "cancelled": tally.cancelled,
            "walked_away": tally.walked_away,
            "declined_cards": tally.declined_cards,
            "sold_out": tally.sold_out,
            "too_late": tally.too_late,
            "too_many": tally.too_many,
            "collected": tally.collected,
            "refused": {str(status): count for status, count in sorted(result.traffic.refused.items())},
            "attempts_without_answer": result.traffic.unanswered,
            "errors": dict(tally.errors),
        },
        "visits": {"begun": tally.visits, "missed": tally.visits_missed},
        "latency_ms": {
            what: {"count": histogram.count} | {name: histogram.quantile_ms(share) for name, share in QUANTILES.items()}
            for what, histogram in tally.latency.items()
        },
        "listings": [_listing(result, listing) for listing in result.catalogue.all],
    }


def show(result: Result, console: Console, *, every_match: bool) -> None:
    """Prints the tables, then whether everything adds up."""
    data = figures(result)
    console.print()
    console.print(_summary(data))
    console.print(_latencies(data))
    console.print(_tickets(data, every_match=every_match))
    for kind, sample in result.tally.error_samples.items():
        console.print(f"First error of kind {kind!r}: {sample}", markup=False, soft_wrap=True)
    for line in result.differences:
        console.print(f"DOES NOT ADD UP: {line}", style="red", markup=False, soft_wrap=True)
    if not result.differences:
        console.print(
            f"Everything adds up: sold + held + available = capacity for all {len(data['listings'])} listings, "
            "and they sold what the buyers' completed orders hold.",
            soft_wrap=True,
        )


def _orders(result: Result) -> dict[str, int | None]:
    orders: dict[str, int | None] = {"made": result.tally.ordered}
    for status in ("completed", "expired", "cancelled", "refunded"):
        orders[status] = result.evidence.orders.statuses[status] if result.evidence else None
    orders["open"] = sum(result.evidence.orders.statuses[status] for status in OPEN) if result.evidence else None
    return orders


def _listing(result: Result, listing: Listing) -> dict[str, Any]:
    shelf = result.evidence.shelves.get(listing.id) if result.evidence else None
    return {
        "id": listing.id,
        "title": listing.title,
        "capacity": listing.capacity,
        "sold": shelf.sold if shelf else None,
        "held": shelf.held if shelf else None,
        "available": shelf.available if shelf else None,
        "sold_in_this_run": shelf.sold - listing.before.sold if shelf else None,
        "adds_up": shelf is not None and shelf.sold + shelf.held + shelf.available == listing.capacity,
    }


def _summary(data: dict[str, Any]) -> Table:
    table = Table(
        title=f"{data['buyers']:,} buyers, {data['seconds']:.0f} s, {data['url']}",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    table.add_column("What")
    table.add_column("Count", justify="right")
    answers, visits = data["answers"], data["visits"]
    rows = {
        "Orders made": data["orders"]["made"],
        **{
            f"  {status}": data["orders"][status]
            for status in ("completed", "expired", "cancelled", "refunded", "open")
        },
        "Declined cards": answers["declined_cards"],
        "Sold-out answers": answers["sold_out"],
        "Paid or cancelled too late": answers["too_late"],
        "Refused (503 / 429)": f"{answers['refused'].get('503', 0):,} / {answers['refused'].get('429', 0):,}",
        "Attempts without an answer": answers["attempts_without_answer"],
        "Errors": sum(answers["errors"].values()),
        "Visits begun / missed": f"{visits['begun']:,} / {visits['missed']:,}",
        "Tickets sold": _sum(data, "sold_in_this_run"),
        f"Money taken ({CURRENCY})": _money(data["money"]["amount"]),
    }
    for name, value in rows.items():
        table.add_row(name, _number(value))
    return table


def _latencies(data: dict[str, Any]) -> Table:
    table = Table(title="Latency in ms from the planned start", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("Request")
    for name in ("count", *QUANTILES):
        table.add_column(name, justify="right")
    for what, row in data["latency_ms"].items():
        table.add_row(what, f"{row['count']:,}", *(_milliseconds(row[name]) for name in QUANTILES))
    return table


def _tickets(data: dict[str, Any], *, every_match: bool) -> Table:
    rows = data["listings"]
    if not every_match:
        wanted = sorted(rows[:-1], key=lambda row: row["sold_in_this_run"] or 0, reverse=True)
        rows = [*wanted[:TOP_MATCHES], rows[-1]]
    columns = ("capacity", "sold", "held", "available", "sold_in_this_run")
    table = Table(title="Tickets", box=box.SIMPLE_HEAD, title_justify="left", show_footer=True)
    table.add_column("Listing", footer=f"All {len(data['listings'])}")
    for name in columns:
        heading = "this run" if name == "sold_in_this_run" else name
        table.add_column(heading, footer=_number(_sum(data, name)), justify="right")
    table.add_column("adds up", footer=_yes(all(row["adds_up"] for row in data["listings"])))
    for row in rows:
        table.add_row(row["title"], *(_number(row[name]) for name in columns), _yes(row["adds_up"]))
    return table


def _sum(data: dict[str, Any], name: str) -> int | None:
    values = [row[name] for row in data["listings"]]
    return None if None in values else sum(values)


def _number(value: int | str | None) -> str:
    if value is None:
        return "unknown"
    return value if isinstance(value, str) else f"{value:,}"


def _money(amount: int | None) -> str | None:
    return None if amount is None else decimal(amount, CURRENCY)


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def _yes(value: bool) -> str:
    return "yes" if value else "NO"

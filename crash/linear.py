"""The history in the form that the linearizability checker reads, and its verdict.

The checker is Porcupine, somebody else's, in Go (`crash/linearizability`). It gets what clients saw; of the house's log
only the moments at which it took back what had passed its deadline, since no client does that.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from crash.evidence import Order
from crash.history import BAD_CARD, CANCEL, EDIT, OFFER, PAY, RESERVE, Operation, Try, operations
from crash.invariants import CANCELLED, COMPLETED

PROGRAM = Path(__file__).with_name("linearizability")
BUILD_SECONDS = 300.0
"""With the module to fetch."""

CHECK_SECONDS = 120
"""After which the checker itself gives up, for all listings together."""

LINEARIZABLE, ILLEGAL, UNDECIDED = 0, 1, 2
"""Its exit codes."""

SECOND_NS = 1_000_000_000
_REFUSED = {"sold_out": "refused", "order_not_open": "refused", "ticket_locked": "refused", "card_declined": "declined"}


class Step(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line for the checker (its reader is `history.go`)."""

    kind: str
    """`listing`, `reserve`, `pay`, `cancel`, `edit` or `expire`."""
    listing: str
    client: int = 0
    call: int = 0
    returned: int | None = None
    """None: open-ended, it may have happened at any time since, or not."""
    outcome: str = ""
    """`ok`, `refused`, `declined` or `unknown`."""
    order: str = ""
    units: int = 0
    charge: str = ""
    sold: int = 0
    """Units sold, in the answer to an edit."""


@dataclass(frozen=True)
class Verdict:
    """What the checker said; `code` is None if it did not run."""

    code: int | None
    text: str


@dataclass(frozen=True)
class Known:
    """What is known besides the requests."""

    orders: Sequence[Order]
    """As their buyers read them in the end: what they saw, too. It tells of most lost answers what came of the request,
    and without it the checker would have to try both for each of them, all combinations."""
    hold_seconds: Mapping[str, int]
    """By listing."""
    deadlines: Mapping[str, int]
    """By order, nanoseconds since 1970."""
    endings: Mapping[str, int]
    """When the house took back or sold an order's units, in the same way; from the log."""


def steps(tries: Sequence[Try], known: Known) -> Iterator[Step]:
    """All lines."""
    done = operations(tries)
    status = {order.id: order.status for order in known.orders}
    answered = {operation.order for operation in done if operation.kind == RESERVE}
    strange = {(one.person, one.listing, one.units) for one in known.orders if one.id not in answered}
    cancelled = {operation.order for operation in done if operation.kind == CANCEL and operation.outcome == "ok"}
    for operation in done:
        first = operation.first
        if operation.outcome == "unknown" and not _may_have_happened(first, status.get(first.order or ""), strange):
            continue
        if operation.outcome == "unknown" and operation.kind == CANCEL and operation.order in cancelled:
            continue  # it was the other one that did it
        if operation.kind == OFFER and operation.answered is not None and operation.outcome == "ok":
            yield Step(kind="listing", listing=_known(operation.answered.listing), units=_known(first.quantity))
        elif operation.kind in (PAY, CANCEL, EDIT):
            yield _asked(operation)
        elif operation.kind == RESERVE:
            yield from _reserved(operation, known)


def _may_have_happened(asked: Try, status: str | None, strange: Collection[tuple[int, str, int]]) -> bool:
    """Whether a request whose answer was lost may have changed what others see, by what there was in the end.

    Args:
        status: of the order it was about.
        strange: person, listing and units of the orders whose id nobody was told.
    """
    if asked.kind == RESERVE:
        return (asked.person, asked.listing, asked.quantity) in strange
    if asked.kind == PAY:
        return status == COMPLETED and asked.card != BAD_CARD
    return asked.kind == CANCEL and status == CANCELLED


def _asked(operation: Operation) -> Step:
    step = _step(operation)
    step.order = operation.first.order or ""
    if operation.outcome == "ok" and operation.answered is not None:
        body: dict[str, Any] = operation.answered.body()
        step.charge = body.get("charge_id") or ""
        step.sold = body.get("sold", 0)
    return step


def _reserved(operation: Operation, known: Known) -> Iterator[Step]:
    step = _step(operation)
    step.units = _known(operation.first.quantity)
    if operation.outcome == "refused":
        yield step
        return
    step.order = operation.order or f"unknown-{operation.first.number}"
    yield step
    expiry = Step(kind="expire", listing=step.listing, order=step.order, outcome="ok")
    if operation.order is None:
        expiry.call = step.call + known.hold_seconds[step.listing] * SECOND_NS
        yield expiry
        return
    # An API that was paused decides by a time it read before; then a deadline may be older than the request.
    expiry.call = max(step.call, known.deadlines[operation.order])
    ended = known.endings.get(operation.order)
    if ended is None or ended >= expiry.call:
        expiry.returned = ended
        yield expiry


def _step(operation: Operation) -> Step:
    first, answered = operation.first, operation.answered
    return Step(
        kind=operation.kind,
        listing=_known(first.listing),
        client=first.person,
        call=first.started_ns,
        returned=None if answered is None else answered.ended_ns,
        outcome=_REFUSED[_known(answered.code)] if answered and answered.outcome == "refused" else operation.outcome,
    )


def _known(value: Any) -> Any:
    assert value is not None
    return value


def check(history: Path, pictures: Path) -> Verdict:
    """Lets the checker look at a file of steps; for what is illegal it draws a picture into the folder."""
    if shutil.which("go") is None:
        return Verdict(None, "linearizability was NOT checked: `go` is not on this machine")
    program = pictures / "linearizability"
    built = subprocess.run(
        ["go", "build", "-o", str(program), "."],
        cwd=PROGRAM,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if built.returncode:
        reason = (built.stderr.strip().splitlines() or ["no reason given"])[-1]
        return Verdict(None, f"linearizability was NOT checked: the checker could not be built: {reason}")
    done = subprocess.run(
        [str(program), "-seconds", str(CHECK_SECONDS), "-pictures", str(pictures), str(history)],
        capture_output=True,
        text=True,
        timeout=2 * CHECK_SECONDS,
        check=False,
    )
    program.unlink()
    return Verdict(done.returncode, (done.stdout + done.stderr).strip())


def write(path: Path, lines: Iterator[Step]) -> None:
    """Writes what `check` reads."""
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

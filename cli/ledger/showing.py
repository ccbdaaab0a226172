"""Lines and balances as tables, and as CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from cli.audit.table import Column, moment
from cli.audit.table import lines as table
from cli.ledger.selection import COLUMNS, Balance, Line
from domain.money import decimal
from projections.ledger import ACCOUNTS

_BALANCES = (
    Column("currency"),
    Column("account"),
    Column("debit", right=True),
    Column("credit", right=True),
    Column("balance", right=True),
)
_STORY = (
    Column("time"),
    Column("event"),
    Column("account"),
    Column("debit", right=True),
    Column("credit", right=True),
    Column("currency"),
    Column("units", right=True),
    Column("about"),
)
_SELLER = (
    Column("time"),
    Column("event"),
    Column("amount", right=True),
    Column("owed", right=True),
    Column("currency"),
    Column("units", right=True),
    Column("order"),
    Column("reference"),
)


def trial_balance(found: Sequence[Balance]) -> Iterator[str]:
    """Currency by currency every account and the sum. Debit is what there is and was spent, credit whose it is."""
    rows: list[Sequence[str]] = []
    for currency in sorted({balance.currency for balance in found}):
        here = [balance for balance in found if balance.currency == currency]
        here.sort(key=lambda balance: (_place(balance.account), balance.account))
        debit, credit = (sum(getattr(balance, side) for balance in here) for side in ("debit", "credit"))
        rows += [_balance_row(balance) for balance in (*here, Balance(currency, "total", debit, credit))]
    return table(_BALANCES, rows)


def _place(account: str) -> int:
    return ACCOUNTS.index(account) if account in ACCOUNTS else len(ACCOUNTS)


def _balance_row(balance: Balance) -> Sequence[str]:
    amounts = (balance.debit, balance.credit, balance.amount)
    return (balance.currency, balance.account, *(decimal(amount, balance.currency) for amount in amounts))


def story(found: Iterable[Line]) -> Iterator[str]:
    """An order's lines, each event's below its time and name."""
    return table(_STORY, _story_rows(found))


def _story_rows(found: Iterable[Line]) -> Iterator[Sequence[str]]:
    told = 0
    for line in found:
        first = line.sequence != told
        told = line.sequence
        amount = decimal(abs(line.amount), line.currency)
        about = (line.reference if first else None, None if line.party is None else f"seller {line.party}")
        yield (
            moment(line.at) if first else "",
            f"{line.sequence} {line.type}" if first else "",
            line.account,
            amount if line.amount >= 0 else "",
            amount if line.amount < 0 else "",
            line.currency,
            _units(line),
            ", ".join(filter(None, about)),
        )


def seller_account(found: Iterable[Line]) -> Iterator[str]:
    """What a seller earned, gave back and was paid, and what was owed to them after each."""
    return table(_SELLER, _seller_rows(found))


def _seller_rows(found: Iterable[Line]) -> Iterator[Sequence[str]]:
    owed: Counter[str] = Counter()
    for line in found:
        owed[line.currency] -= line.amount
        yield (
            moment(line.at),
            line.type,
            decimal(-line.amount, line.currency),
            decimal(owed[line.currency], line.currency),
            line.currency,
            _units(line),
            str(line.order_id),
            line.reference or "",
        )


def _units(line: Line) -> str:
    return "" if line.quantity is None else f"{line.quantity:+,}"


def csv_lines(found: Iterable[Line]) -> Iterator[str]:
    """A header, then a line each, without their ends. Times are RFC 3339, the decimal has no grouping."""
    text = io.StringIO()
    write = csv.writer(text, lineterminator="").writerow
    after = COLUMNS.index("amount") + 1
    write((*COLUMNS[:after], "decimal", *COLUMNS[after:]))
    yield _taken(text)
    for line in found:
        values = [getattr(line, name) for name in COLUMNS]
        values[COLUMNS.index("at")] = moment(line.at)
        write((*values[:after], decimal(line.amount, line.currency).replace(",", ""), *values[after:]))
        yield _taken(text)


def _taken(text: io.StringIO) -> str:
    line = text.getvalue()
    text.seek(0)
    text.truncate()
    return line

"""The tables of the sandbox's file, and how a file of an older version becomes one of this version."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from sandbox import ledger
from sandbox.ids import RANDOM_CHARACTERS, moment_text, random_text

_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode
"""JSON to Python values."""

COUNT = "INSERT INTO totals VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
"""Adds to a running total."""

_ROWS_AT_A_TIME = 1_000
"""So that filling a new table takes no more memory for a large file than for a small one."""

_FIRST = """
CREATE TABLE payment_intents (id TEXT PRIMARY KEY, created INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE charges (
    id TEXT PRIMARY KEY, created INTEGER NOT NULL, record TEXT NOT NULL, payment_intent TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX charges_of_intent ON charges (payment_intent, id);
CREATE TABLE refunds (
    id TEXT PRIMARY KEY, created INTEGER NOT NULL, record TEXT NOT NULL,
    payment_intent TEXT NOT NULL, charge TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX refunds_of_intent ON refunds (payment_intent, id);
CREATE INDEX refunds_of_charge ON refunds (charge, id);
CREATE TABLE payment_methods (id TEXT PRIMARY KEY, created INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, type TEXT NOT NULL,
    record TEXT NOT NULL);
CREATE TABLE deliveries (sequence INTEGER PRIMARY KEY, attempts INTEGER NOT NULL, due_at REAL NOT NULL);
CREATE INDEX deliveries_due ON deliveries (due_at, sequence);
CREATE TABLE idempotency_keys (
    sequence INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL, created INTEGER NOT NULL,
    status INTEGER NOT NULL, body TEXT NOT NULL, request TEXT NOT NULL);
CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID
"""
_BALANCE = """
CREATE TABLE balance_transactions (
    id TEXT PRIMARY KEY, created INTEGER NOT NULL, record TEXT NOT NULL,
    type TEXT NOT NULL, source TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX balance_transactions_of_type ON balance_transactions (type, id);
CREATE INDEX balance_transactions_of_source ON balance_transactions (source, id);
CREATE TABLE settlements (subject TEXT PRIMARY KEY, outcome TEXT NOT NULL, since REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX settlements_due ON settlements (since)
"""
_CONNECT = """
CREATE TABLE accounts (id TEXT PRIMARY KEY, created INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE account_links (id TEXT PRIMARY KEY, created INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX account_links_by_age ON account_links (created);
CREATE TABLE transfers (
    id TEXT PRIMARY KEY, created INTEGER NOT NULL, record TEXT NOT NULL,
    destination TEXT NOT NULL, transfer_group TEXT NOT NULL, source_transaction TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX transfers_of_destination ON transfers (destination, id);
CREATE INDEX transfers_of_group ON transfers (transfer_group, id);
CREATE INDEX transfers_of_source ON transfers (source_transaction);
CREATE TABLE transfer_reversals (
    id TEXT PRIMARY KEY, created INTEGER NOT NULL, record TEXT NOT NULL, transfer TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX transfer_reversals_of_transfer ON transfer_reversals (transfer, id)
"""
_DISPUTES = """
CREATE TABLE disputes (
    id TEXT PRIMARY KEY, created INTEGER NOT NULL, record TEXT NOT NULL,
    charge TEXT NOT NULL, payment_intent TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX disputes_of_charge ON disputes (charge, id);
CREATE INDEX disputes_of_intent ON disputes (payment_intent, id)
"""

TABLES = (
    "payment_intents",
    "charges",
    "refunds",
    "payment_methods",
    "balance_transactions",
    "accounts",
    "transfers",
    "transfer_reversals",
    "disputes",
    "events",
)
"""Those whose rows are objects with ids that grow."""


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """Makes an empty file (version 0) or one of an older version into one of `VERSION`: all of it or nothing."""
    db.execute("BEGIN EXCLUSIVE")
    for statements, fill in _STEPS[version:]:
        for statement in statements.split(";"):
            db.execute(statement)
        if fill is not None:
            fill(db)
    db.execute(f"PRAGMA user_version={VERSION}")
    db.execute("COMMIT")


def _book_what_was_before(db: sqlite3.Connection) -> None:
    """Balance transactions of charges and refunds from before there were any, with ids of their moments."""
    for charge in _all(db, "charges"):
        if charge["status"] == "succeeded":
            identifier, amount = _transaction_id(charge), charge["amount"]
            fee = ledger.charge_fee(amount)
            booked = ledger.transaction(identifier, ledger.CHARGE, charge, amount, created=charge["created"], fee=fee)
            _book(db, "charges", charge, booked)
    for refund in _all(db, "refunds"):
        identifier, amount = _transaction_id(refund), -refund["amount"]
        booked = ledger.transaction(identifier, ledger.REFUND, refund, amount, created=refund["created"])
        _book(db, "refunds", refund, booked)


def encode(value: Any) -> str:
    """Python values to compact JSON."""
    return _encode(value).decode()


def _all(db: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    last, more = "", True
    while more:
        page = f"SELECT id, record FROM {table} WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - our own names
        rows = db.execute(page, (last, _ROWS_AT_A_TIME)).fetchall()
        for last, record in rows:  # noqa: B007 - the last one is where the next page begins
            yield decode(record)
        more = bool(rows)


def _transaction_id(source: dict[str, Any]) -> str:
    return f"txn_{moment_text(source['id'])}{random_text(RANDOM_CHARACTERS)}"


def _book(db: sqlite3.Connection, table: str, source: dict[str, Any], booked: dict[str, Any]) -> None:
    db.execute(
        "INSERT INTO balance_transactions VALUES (?, ?, ?, ?, ?)",
        (booked["id"], booked["created"], encode(booked), booked["type"], booked["source"]),
    )
    change = f"UPDATE {table} SET record = ? WHERE id = ?"  # noqa: S608 - our own names
    db.execute(change, (encode(source | {"balance_transaction": booked["id"]}), source["id"]))
    db.execute(COUNT, (f"balance.{booked['currency']}", booked["net"]))


_STEPS: tuple[tuple[str, Callable[[sqlite3.Connection], None] | None], ...] = (
    (_FIRST, None),
    (_BALANCE, _book_what_was_before),
    (_CONNECT, None),
    (_DISPUTES, None),
)
VERSION = len(_STEPS)
"""Of the file, in SQLite's `user_version`: how many of the steps it has seen."""

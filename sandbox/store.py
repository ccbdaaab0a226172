"""The sandbox's memory: one SQLite file in WAL mode, written by one process.

Why SQLite and not a journal replayed into memory: a load test makes millions of intents. In SQLite they cost disk,
not memory (the page cache is fixed below), a restart takes milliseconds instead of a replay of everything, lists come
from an index, and pruning is a DELETE. Why it is cheap all the same: all requests that are ready in one turn of the
event loop share one transaction and one fsync (group commit), ids grow with time so that rows are appended, and an
object is kept as only the fields that differ from its template.

Durability: `synchronous=FULL`, and no answer leaves before `committed()` returns. What was answered survives SIGKILL
and a loss of power.

Bounds: memory is the page cache (CACHE_KIB). On disk, intents, charges, refunds and what they did to the balance are
kept for ever, because they are the truth about money; of events and idempotency keys the newest are kept
(EVENTS_KEPT, KEYS_KEPT).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.ids import Ids, moment_of
from sandbox.schema import COUNT, TABLES, VERSION, decode, encode, upgrade

Record = dict[str, Any]
"""A stored object: Stripe's field names, without the fields that are the same for all objects of its kind."""

CACHE_KIB = 32_768
BUSY_MS = 2_000
"""How long to wait for the file's lock: a predecessor that was just killed may still be ending."""

log = logging.getLogger("sandbox")


class StoreError(Exception):
    """The file cannot be opened, or the disk refuses (it is full); what was not committed is undone."""


class Store:
    """Everything that is kept. Used from one event loop only; every method but `committed` is synchronous and short."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file. Raises StoreError when it is in use, not ours, or from another version."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._waiters: list[asyncio.Future[None]] = []
        self._commit_is_due = False
        self._on_commit: list[Callable[[], None]] = []
        try:
            path.touch(0o600)  # SQLite would let everybody read it; the files beside it get its mode
            # Statements begin transactions themselves, so the module's own transaction control is off.
            self._db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_MS / 1000, cached_statements=256)
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"cannot use {path}: {error}") from error
        self.ids = Ids(after=max((moment_of(i) for i in self._newest_ids()), default=0))

    def _prepare(self) -> None:
        # Exclusive: a second sandbox on the same file is refused, and SQLite needs no shared memory beside the file.
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StoreError(f"the sandbox's state has version {version}, this program writes {VERSION}")
        if version < VERSION:
            upgrade(self._db, version)

    def _newest_ids(self) -> Iterator[str]:
        for table in TABLES:
            newest = self.read(f"SELECT max(id) FROM {table}")[0][0]  # noqa: S608 - our own names
            if newest is not None:
                yield newest

    # --- transactions -------------------------------------------------------------------------------------------------

    @contextmanager
    def unit(self) -> Iterator[None]:
        """One request's work: all of it joins the current transaction, or, when it raises, none of it.

        Raises StoreError when the disk refuses; then the whole transaction is undone, and `committed` raises for
        everyone in it.
        """
        try:
            self._begin()
            try:
                yield
            except StoreError:
                raise
            except BaseException:
                self.write("ROLLBACK TO unit")
                self.write("RELEASE unit")
                raise
            self.write("RELEASE unit")
        except StoreError as error:
            self._undo(error)
            raise

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Has `listener` called after each commit: something may be waiting to be delivered or settled."""
        self._on_commit.append(listener)

    async def committed(self) -> None:
        """Returns when all that was written so far is on disk. Raises StoreError when it could not be."""
        if not self._db.in_transaction:
            return
        # A future for each waiter: one shared by all would be cancelled for all when one request is.
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self.write("BEGIN")
        if not self._commit_is_due:
            # call_soon runs after what is ready in this turn of the loop: that is the group. The number of waiters is
            # bounded by the number of open connections.
            self._commit_is_due = True
            asyncio.get_running_loop().call_soon(self._commit)
        self.write("SAVEPOINT unit")

    def _commit(self) -> None:
        self._commit_is_due = False
        if not self._db.in_transaction:
            return  # it was undone
        try:
            self.write("COMMIT")
        except StoreError as error:
            self._undo(error)
            return
        self._release_waiters(None)
        for listener in self._on_commit:
            listener()

    def _undo(self, error: StoreError) -> None:
        log.error("nothing of the last moment was kept: %s", error)
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._release_waiters(error)

    def _release_waiters(self, error: StoreError | None) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.cancelled():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(StoreError(str(error)))

    def close(self) -> None:
        """Commits what is open and closes the file."""
        if self._db.in_transaction:
            self._commit()
        self._db.close()

    # --- statements ---------------------------------------------------------------------------------------------------

    def read(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, which must be few. Raises StoreError."""
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error

    def write(self, statement: str, values: tuple[Any, ...] = ()) -> int:
        """Runs a statement and returns the number of the row it has inserted, if it has. Raises StoreError."""
        try:
            return self._db.execute(statement, values).lastrowid or 0
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error

    # --- objects ------------------------------------------------------------------------------------------------------

    def get(self, table: str, identifier: str) -> Record | None:
        rows = self.read(f"SELECT record FROM {table} WHERE id = ?", (identifier,))  # noqa: S608 - our own names
        return decode(rows[0][0]) if rows else None

    def insert(self, table: str, record: Record, **indexed: str) -> None:
        """Keeps a new object under `record["id"]`; `indexed` are the columns it can be listed by."""
        columns = "".join(f", {name}" for name in indexed)
        marks = ", ?" * len(indexed)
        self.write(
            f"INSERT INTO {table} (id, created, record{columns}) VALUES (?, ?, ?{marks})",  # noqa: S608 - our own names
            (record["id"], record["created"], encode(record), *indexed.values()),
        )

    def update(self, table: str, record: Record) -> None:
        change = f"UPDATE {table} SET record = ? WHERE id = ?"  # noqa: S608 - our own names
        self.write(change, (encode(record), record["id"]))

    def all(self, table: str, column: str, value: str) -> Iterator[Record]:
        """Every object with this value in an indexed column, oldest first; the table may change meanwhile."""
        last = ""
        while True:
            statement = f"SELECT id, record FROM {table} WHERE {column} = ? AND id > ? ORDER BY id LIMIT 1"  # noqa: S608 - our own names
            rows = self.read(statement, (value, last))
            if not rows:
                return
            last, record = rows[0]
            yield decode(record)

    def page(
        self, table: str, where: list[tuple[str, Any]], *, limit: int, backwards: bool = False
    ) -> tuple[list[Record], bool]:
        """Up to `limit` objects, newest first, and whether there are more.

        `where`: SQL conditions with one mark each, such as `("id < ?", "pi_…")`. `backwards`: the `limit` oldest of
        them instead of the newest (a page that ends before an object), still newest first.
        """
        conditions = " AND ".join(condition for condition, _ in where) or "TRUE"
        order = "ASC" if backwards else "DESC"
        rows = self.read(
            f"SELECT record FROM {table} WHERE {conditions} ORDER BY id {order} LIMIT ?",  # noqa: S608 - our own names
            (*(value for _, value in where), limit + 1),
        )
        records = [decode(row[0]) for row in rows[:limit]]
        return (records[::-1] if backwards else records), len(rows) > limit

    # --- totals -------------------------------------------------------------------------------------------------------

    def count(self, name: str, by: int = 1) -> None:
        """Adds to a running total: counting millions of rows at each look would stop everything else."""
        self.write(COUNT, (name, by))

    def total(self, name: str) -> int:
        rows = self.read("SELECT value FROM totals WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else 0

    def totals(self) -> dict[str, int]:
        return dict(self.read("SELECT name, value FROM totals"))

"""The actor runtime: one task that owns every aggregate in memory and decides commands in batches.

One aggregate is one actor: its commands are decided one at a time, in order, on its state in memory. The store's
ceiling is commits, not events, so everything that waits is decided in one transaction (group commit), and each caller
gets an outcome of its own: a command that breaks a rule fails alone.

While other processes append, the log is locked first; then what they appended is read and applied, and only then is
anything decided. So a decision is never made on old state, and two processes selling one listing never conflict: they
take turns. A process that has been alone for a moment decides before it locks, and the message that appends is refused
should somebody have come: then it was not, and the batch is decided once more, with the lock.
No caller is answered before the commit, refusals included, since a refusal may rest on events of the same batch.

All of it runs on the event loop that the callers run on: while one batch is on its way to the disk, the loop reads the
requests of the next. A thread of its own would share the interpreter with that loop and cost more than it decides.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Generic
from uuid import UUID

from eventsourcing.domain import OriginatorVersionError

from domain.aggregate import Cause, Stamp
from domain.errors import AggregateUnreadable, DomainError, IdempotencyKeyReused, Unavailable
from domain.mailbox import WHOLE_BATCH, Mailboxes
from domain.ports import EventStore, KeyUsed, LockNeeded, StoreUnavailable, Transaction, Unreadable
from domain.records import Outcome
from domain.work import Batch, Cache, NotFetched, Once, R, Work

log = logging.getLogger(__name__)

MAX_BATCH = 256
"""Commands in one transaction: keeps the time others wait for the lock near ten milliseconds."""

MAX_CACHED = 20_000
"""Aggregates in memory, about two kilobytes each."""

ANSWER_WITHIN_SECONDS = 10.0
"""How long a command is tried while the store is away, before its caller is told."""

ALONE_SECONDS = 0.2
"""So long nobody else has appended before a batch is decided without the lock."""

CAREFUL_TIMES = 20
"""So many times as long as it took to decide a refused batch again the lock is taken first: what it touched is loaded
again, which for a listing with a hundred thousand holds takes a second. So refusals cost a twentieth at most."""

MAX_AT_RISK = 5_000
"""Snapshot interval, in events, of the largest aggregate that is: a listing with twenty thousand open holds. To load a
larger one again, because a batch was refused, takes longer than its buyers should wait."""

MAX_KEYS = 20_000
"""Idempotency keys in memory, about two hundred bytes each."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 0.5
"""Between tries while the store is away."""


_Key = tuple[UUID, str]
"""An idempotency key, and whose it is."""


@dataclass(eq=False, slots=True)
class Command(Generic[R]):
    """A message to one or more aggregates, and the caller who waits for its outcome."""

    addressees: tuple[UUID, ...]
    decide: Callable[[Work], R]
    cause: Cause
    once: Once[R] | None
    answered: asyncio.Future[R]
    give_up_at: float


class _Spoiled(Exception):
    """A command failed after it had changed something: the batch is started over without it."""

    def __init__(self, command: Command[Any], reason: Exception) -> None:
        self.command = command
        self.reason = reason


class _Unknown(Exception):
    """A commit went unanswered and the store stayed away: trying again could do things twice."""


class Actors:
    """Runs the aggregates of one process, on one event loop."""

    def __init__(self, store: EventStore, *, max_cached: int = MAX_CACHED) -> None:
        self._store = store
        self._mailboxes: Mailboxes[Command[Any]] = Mailboxes()
        self._cache = Cache(max_cached)
        self._used_keys: OrderedDict[_Key, None] = OrderedDict()
        self._position: int | None = None
        self._optimistic_from = 0.0
        """On the monotonic clock: until then the log is locked before anything is decided."""
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to work; a store that is away is waited for."""
        self._running = asyncio.get_running_loop().create_task(self._run(), name="actors")

    async def stop(self) -> None:
        """Takes no more commands, finishes those that wait, ends."""
        self._mailboxes.close()
        if self._running is not None:
            await self._running
        await self._store.close()

    @property
    def waiting(self) -> int:
        """Commands not yet taken into a batch."""
        return len(self._mailboxes)

    def tell(
        self, addressees: Collection[UUID], decide: Callable[[Work], R], cause: Cause, once: Once[R] | None = None
    ) -> asyncio.Future[R]:
        """Sends a command to its aggregates; the future is its outcome once that is durable.

        Args:
            addressees: whose mailboxes it takes a place in; their state is fetched together.
            decide: looks at aggregates and tells them; may be begun anew until it has changed something.
            once: with it, the first answer under this key is the answer for good.

        Raises (from the future, too):
            DomainError: refused. Busy: a mailbox is full. Unavailable: the store did not answer in time.
        """
        answered: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        give_up_at = monotonic() + ANSWER_WITHIN_SECONDS
        self._mailboxes.put(Command(tuple(addressees), decide, cause, once, answered, give_up_at))
        return answered

    # The task -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while commands := await self._mailboxes.wait_and_take(_share):
            try:
                _settle(await self._carry_out(commands))
            except Exception as error:
                log.exception("a batch of %d commands failed", len(commands))
                self._cache.clear()
                _settle([(command, error) for command in commands])

    async def _carry_out(self, commands: list[Command[Any]]) -> list[tuple[Command[Any], Any]]:
        """Tries until every command has an outcome; an exception is an outcome."""
        settled: list[tuple[Command[Any], Any]] = []
        pause_seconds = FIRST_PAUSE_SECONDS
        refused_at: float | None = None
        while commands:
            try:
                settled += await self._try(commands)
                if refused_at is not None:
                    self._optimistic_from = monotonic() + CAREFUL_TIMES * (monotonic() - refused_at)
                return settled
            except _Spoiled as spoiled:
                commands.remove(spoiled.command)
                settled.append((spoiled.command, spoiled.reason))
            except LockNeeded:
                refused_at = monotonic() if refused_at is None else refused_at
                self._optimistic_from = monotonic() + ANSWER_WITHIN_SECONDS  # or as told by what it costs
            except KeyUsed:
                # One of them is repeated, and by the next try all are known to be asked for.
                self._note_keys(_keys_of(commands))
            except _Unknown:
                unknown = Unavailable("the event store went away; whether this was done is not known")
                return settled + [(command, unknown) for command in commands]
            except StoreUnavailable as error:
                log.warning("the event store is away: %s", error)
                late = [command for command in commands if monotonic() > command.give_up_at]
                settled += [(command, Unavailable("the event store does not answer")) for command in late]
                commands = [command for command in commands if command not in late]
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
        return settled

    async def _try(self, commands: list[Command[Any]]) -> list[tuple[Command[Any], Any]]:
        """One transaction. On any failure what it touched is forgotten, so that nothing undurable stays in memory."""
        batch: Batch | None = None
        outcomes: list[tuple[Command[Any], Any]] = []
        try:
            await self._fetch_ahead(commands)
            locks_first = self._locks_first(commands)
            async with self._begin(locks_first) as transaction:
                batch = Batch(transaction, self._cache)
                alone = self._catch_up(transaction)
                if not alone:
                    self._optimistic_from = max(self._optimistic_from, monotonic() + ALONE_SECONDS)
                if locks_first:
                    # What came while the lock was waited for joins the batch; where others want it too, all that waits.
                    most = _share(len(commands) + self.waiting) if alone else MAX_BATCH
                    commands += self._mailboxes.take(self._ready(most - len(commands)))
                outcomes = await self._decide(batch, commands)
                self._position = await transaction.commit(batch.events, batch.records)
        except StoreUnavailable as error:
            self._forget(batch)
            if not (error.in_doubt and batch is not None and await self._is_stored(batch)):
                raise
            # Committed, only the answer was lost. What it touched is loaded again when needed.
        except BaseException:
            self._forget(batch)
            raise
        else:
            self._keep_snapshots(batch)
        self._note_keys((record.scope, record.key) for record in batch.records if isinstance(record, Outcome))
        self._cache.trim()
        return outcomes

    def _locks_first(self, commands: Sequence[Command[Any]]) -> bool:
        """Whether others were about, or would have too much to wait for should they come."""
        if monotonic() < self._optimistic_from:
            return True
        cached = map(self._cache.find, self._concerned(commands))
        return any(aggregate is not None and aggregate.snapshot_interval() > MAX_AT_RISK for aggregate in cached)

    def _begin(self, locks_first: bool) -> AbstractAsyncContextManager[Transaction]:
        if self._position is None or locks_first:
            return self._store.begin(self._position)
        return self._store.begin_optimistic(self._position)

    async def _fetch_ahead(self, commands: Sequence[Command[Any]]) -> None:
        """Brings what is not in memory before the log is locked: others need not wait for it.

        What is appended to it between this and the lock is caught up with like all that is in memory. Where there is
        too much to catch up with already, memory is dropped here, before anything is fetched, not under the lock.
        """
        if not self._missing(commands):
            return
        if self._position is None:
            self._cache.clear()
            async with self._store.begin(None) as empty:
                self._position = await empty.commit([], [])
        async with self._store.begin_optimistic(self._position) as reading:
            if (end := await reading.end_beyond_reach()) is not None:
                self._cache.clear()
                self._position = end
            batch = Batch(reading, self._cache)
            await batch.fetch(self._missing(commands))
            await batch.fetch(self._missing(commands))  # what those refer to

    def _ready(self, most: int) -> int:
        """How many of those that come next need nothing that would have to be loaded while the log is locked."""
        coming = self._mailboxes.coming(most)
        return next((number for number, command in enumerate(coming) if self._missing([command])), len(coming))

    def _missing(self, commands: Sequence[Command[Any]]) -> set[UUID]:
        return {one for one in self._concerned(commands) if one not in self._cache}

    def _concerned(self, commands: Sequence[Command[Any]]) -> Iterator[UUID]:
        """Whom they are for, and whom those that are in memory refer to."""
        for one in {one for command in commands for one in command.addressees}:
            yield one
            if (aggregate := self._cache.find(one)) is not None:
                yield from aggregate.refers_to()

    def _catch_up(self, transaction: Transaction) -> bool:
        """Applies what others appended to what is in memory; far behind, memory is dropped instead.

        Returns:
            whether others appended nothing, as far as this process sees.
        """
        others = transaction.events_of_others(self._cache)
        if others is None:
            self._cache.clear()
            return False
        for event in others:
            if isinstance(event, Unreadable):
                self._cache.evict([event.originator_id])
                continue
            aggregate = self._cache.find(event.originator_id)
            if aggregate is not None and event.originator_version > aggregate.version:
                try:
                    event.mutate(aggregate)
                except OriginatorVersionError:
                    self._cache.evict([aggregate.id])
        return not others

    async def _decide(self, batch: Batch, commands: Sequence[Command[Any]]) -> list[tuple[Command[Any], Any]]:
        keys = _keys_of(commands)
        # Hardly any request is a repeat: the answers given before are asked for when one of the keys is known here, or
        # when the store has refused to take a second answer under one of them.
        given = await batch.transaction.outcomes(keys) if any(key in self._used_keys for key in keys) else {}
        await batch.fetch({aggregate_id for command in commands for aggregate_id in command.addressees})
        return [(command, await self._decide_one(batch, command, given)) for command in commands]

    async def _decide_one(self, batch: Batch, command: Command[Any], given: dict[tuple[UUID, str], Outcome]) -> Any:
        once = command.once
        if once is None:
            return await self._run_one(batch, command)
        if (outcome := given.get((once.scope, once.key))) is not None:
            if outcome.fingerprint != once.fingerprint:
                return IdempotencyKeyReused("this key was used for another request")
            return once.decode(outcome.answer)
        answer = await self._run_one(batch, command)
        if isinstance(answer, DomainError):
            answer = once.refusal(answer)
        if not isinstance(answer, Exception):
            given[once.scope, once.key] = Outcome(once.scope, once.key, once.fingerprint, once.encode(answer))
            batch.records.append(given[once.scope, once.key])
        return answer

    async def _run_one(self, batch: Batch, command: Command[Any]) -> Any:
        """The command's answer, or the exception it ended with; the batch starts over if that left a change behind."""
        while True:  # each round knows one thing more, and a command asks for few
            work = Work(batch, Stamp(batch.transaction.now, command.cause))
            try:
                answer = command.decide(work)
            except NotFetched as missing:
                assert work.is_clean(), "a command finds what it needs before it changes anything"
                await batch.fetch_missing(missing)
            except AggregateUnreadable as unreadable:
                log.error("a command waits for a repair: %s", unreadable)
                return unreadable
            except Exception as error:
                if not isinstance(error, DomainError):
                    log.exception("a command failed")
                if not work.is_clean():
                    batch.touch(work.touched())
                    raise _Spoiled(command, error) from error
                return error
            else:
                work.conclude()
                return answer

    async def _is_stored(self, batch: Batch) -> bool:
        """Whether a batch whose commit went unanswered is in the log.

        The log is locked for the question, so that a commit still under way has ended by then.
        """
        if not batch.events:
            return False
        give_up_at = monotonic() + ANSWER_WITHIN_SECONDS
        while True:
            try:
                async with self._store.begin(None) as transaction:
                    self._position = None
                    return await transaction.contains(batch.events[0])
            except StoreUnavailable as error:
                if monotonic() > give_up_at:
                    raise _Unknown from error
                await asyncio.sleep(LONGEST_PAUSE_SECONDS)

    def _note_keys(self, keys: Iterable[_Key]) -> None:
        self._used_keys.update(dict.fromkeys(keys))
        while len(self._used_keys) > MAX_KEYS:
            self._used_keys.popitem(last=False)

    def _forget(self, batch: Batch | None) -> None:
        if batch is not None:
            self._cache.evict(batch.touched.keys())

    def _keep_snapshots(self, batch: Batch) -> None:
        for aggregate in batch.touched.values():
            if aggregate.version - aggregate.snapshot_version >= aggregate.snapshot_interval():
                self._store.keep_snapshot(aggregate)
                aggregate.snapshot_version = aggregate.version


def _keys_of(commands: Sequence[Command[Any]]) -> set[_Key]:
    return {(command.once.scope, command.once.key) for command in commands if command.once is not None}


def _share(waiting: int) -> int:
    """How many of so many commands one batch takes.

    Of more than `WHOLE_BATCH` that wait, only half: so that while one half is on its way to the disk, there is
    something to do for the other. All at once they would wait for the disk together, and then the disk for them.
    """
    return min(MAX_BATCH, max(WHOLE_BATCH, waiting // 2))


def _settle(outcomes: list[tuple[Command[Any], Any]]) -> None:
    for command, outcome in outcomes:
        if command.answered.done():  # the caller went away
            continue
        if isinstance(outcome, BaseException):
            command.answered.set_exception(outcome)
        else:
            command.answered.set_result(outcome)

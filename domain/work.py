"""What one command sees while it is decided: aggregates, the clock, and what is to be stored with its events."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from domain.aggregate import Aggregate, Event, Stamp, TAggregate
from domain.errors import AggregateUnreadable, BadLink, DomainError, EmailTaken
from domain.ports import Transaction, Unreadable
from domain.records import Account, AccountChange, AccountErased, EmailVerified, LinkPurpose, Record

Link = tuple[bytes, LinkPurpose]
"""SHA-256 of the token that a letter brought, and what it is for."""

R = TypeVar("R")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Once(Generic[R]):
    """Makes a command's answer the only one ever given under an idempotency key, refusals included."""

    scope: UUID
    """Whose key it is."""
    key: str
    fingerprint: bytes
    """Tells the same request from another one under the same key."""
    encode: Callable[[R], bytes]
    decode: Callable[[bytes], R]
    refusal: Callable[[DomainError], R]
    """The answer that a refusal is."""


class Cache:
    """Aggregates in memory, the least recently used dropped first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._aggregates: OrderedDict[UUID, Aggregate] = OrderedDict()

    def __contains__(self, aggregate_id: object) -> bool:
        return aggregate_id in self._aggregates

    def __len__(self) -> int:
        return len(self._aggregates)

    def find(self, aggregate_id: UUID) -> Aggregate | None:
        """The aggregate, if it is here, as the most recently used."""
        aggregate = self._aggregates.get(aggregate_id)
        if aggregate is not None:
            self._aggregates.move_to_end(aggregate_id)
        return aggregate

    def put(self, aggregate: Aggregate) -> None:
        self._aggregates[aggregate.id] = aggregate

    def evict(self, ids: Collection[UUID]) -> None:
        """Forgets what is in doubt; it is loaded again when it is needed."""
        for aggregate_id in ids:
            self._aggregates.pop(aggregate_id, None)

    def trim(self) -> None:
        """Keeps the bound; called between batches, never within one."""
        while len(self._aggregates) > self._most:
            self._aggregates.popitem(last=False)

    def clear(self) -> None:
        self._aggregates.clear()


class NotFetched(Exception):
    """A decision came upon something that only the store knows: it is fetched, and the command decided anew."""

    def __init__(self, *, aggregate_id: UUID | None = None, email: str | None = None, link: Link | None = None) -> None:
        super().__init__()
        self.aggregate_id = aggregate_id
        self.email = email
        self.link = link


@dataclass(eq=False)
class Batch:
    """Everything decided in one transaction of the store."""

    transaction: Transaction
    cache: Cache
    events: list[Event] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    touched: dict[UUID, Aggregate] = field(default_factory=dict)
    claimed_emails: set[str] = field(default_factory=set)
    email_owners: dict[str, UUID | None] = field(default_factory=dict)
    link_owners: dict[Link, UUID | None] = field(default_factory=dict)
    links_cancelled: set[tuple[UUID, LinkPurpose]] = field(default_factory=set)
    """Links, by user, that a command of this batch has used or cancelled."""
    _unknown: set[UUID] = field(default_factory=set)
    """Ids that are no aggregate's."""
    _unreadable: dict[UUID, Unreadable] = field(default_factory=dict)

    def find(self, aggregate_id: UUID) -> Aggregate | None:
        """The aggregate; None if there is none.

        Raises:
            NotFetched: it is not in memory.
            AggregateUnreadable: it cannot be.
        """
        aggregate = self.cache.find(aggregate_id)
        if (unreadable := self._unreadable.get(aggregate_id)) is not None:
            raise AggregateUnreadable(f"{aggregate_id}: {unreadable.reason}")
        if aggregate is None and aggregate_id not in self._unknown:
            raise NotFetched(aggregate_id=aggregate_id)
        return aggregate

    def email_owner(self, email: str) -> UUID | None:
        """Whose address it is.

        Raises:
            NotFetched: that was not asked yet.
        """
        if email not in self.email_owners:
            raise NotFetched(email=email)
        return self.email_owners[email]

    def link_owner(self, link: Link) -> UUID | None:
        """Whose link it is; None when it is good no more.

        Raises:
            NotFetched: that was not asked yet.
        """
        if link not in self.link_owners:
            raise NotFetched(link=link)
        owner = self.link_owners[link]
        return None if owner is None or (owner, link[1]) in self.links_cancelled else owner

    async def fetch(self, ids: Collection[UUID]) -> None:
        """Brings many aggregates into memory with one question to the store."""
        missing = {one for one in ids if one not in self.cache and one not in self._unreadable}
        if missing:
            self.take(missing, await self.transaction.load(missing))

    async def fetch_missing(self, missing: NotFetched) -> None:
        """Brings what a decision came upon."""
        if missing.aggregate_id is not None:
            await self.fetch([missing.aggregate_id])
        if missing.email is not None:
            self.email_owners[missing.email] = await self.transaction.email_owner(missing.email)
        if missing.link is not None:
            self.link_owners[missing.link] = await self.transaction.link_owner(*missing.link)

    def take(self, asked: Collection[UUID], found: Mapping[UUID, Aggregate | Unreadable]) -> None:
        """Takes up what the store answered."""
        for aggregate_id, aggregate in found.items():
            if isinstance(aggregate, Unreadable):
                self._unreadable[aggregate_id] = aggregate
            else:
                self.cache.put(aggregate)
        self._unknown.update(aggregate_id for aggregate_id in asked if aggregate_id not in found)

    def touch(self, aggregates: Collection[Aggregate]) -> None:
        """Marks aggregates whose state in memory is ahead of the log until the commit."""
        self.touched.update((aggregate.id, aggregate) for aggregate in aggregates)


class Work:
    """One command's part of a batch. Decide first, tell afterwards: a refused command must have changed nothing."""

    def __init__(self, batch: Batch, stamp: Stamp) -> None:
        self._batch = batch
        self.stamp = stamp
        self._touched: dict[UUID, Aggregate] = {}
        self._records: list[Record] = []

    def find(self, kind: type[TAggregate], aggregate_id: UUID) -> TAggregate | None:
        """The aggregate, or None if there is none of this kind. Asked before anything is changed (`NotFetched`)."""
        aggregate = self._touched.get(aggregate_id) or self._batch.find(aggregate_id)
        if not isinstance(aggregate, kind):
            return None
        self._touched[aggregate_id] = aggregate
        return aggregate

    def add(self, aggregate: Aggregate) -> None:
        """Takes up an aggregate that was just made."""
        self._touched[aggregate.id] = aggregate
        self._batch.cache.put(aggregate)

    def keep(self, record: Record) -> None:
        """Stores a record with the events.

        Raises:
            EmailTaken: the address is another account's.
        """
        if isinstance(record, Account | AccountChange) and record.email is not None:
            owner = self._batch.email_owner(record.email)
            if owner not in (None, record.user_id) or record.email in self._batch.claimed_emails:
                raise EmailTaken("there is an account with this e-mail address")
            self._batch.claimed_emails.add(record.email)
        if isinstance(record, EmailVerified):
            self._batch.links_cancelled.add((record.user_id, "verify_email"))
        if isinstance(record, AccountErased) or (isinstance(record, AccountChange) and record.cancels_links):
            self._batch.links_cancelled |= {(record.user_id, "verify_email"), (record.user_id, "password_reset")}
        self._records.append(record)

    def check_link(self, link: Link, user_id: UUID) -> None:
        """Raises `BadLink` unless it is a good link of this user. Asked before anything is changed (`NotFetched`)."""
        if self._batch.link_owner(link) != user_id:
            raise BadLink("this link was used, or is too old, or there is a newer one")

    def touched(self) -> list[Aggregate]:
        """The aggregates this command looked at or made."""
        return list(self._touched.values())

    def is_clean(self) -> bool:
        """Whether nothing was decided so far."""
        return not any(aggregate.pending_events for aggregate in self._touched.values())

    def conclude(self) -> None:
        """Hands what was decided to the batch."""
        changed = [aggregate for aggregate in self._touched.values() if aggregate.pending_events]
        for aggregate in changed:
            self._batch.events.extend(aggregate.collect_events())
        self._batch.touch(changed)
        self._batch.records.extend(self._records)

"""How much one address, one account, one e-mail address may ask: token buckets in the memory of this process.

With several API processes on one port the bounds hold for each, so that the whole house allows up to that many times
as much. Divided among the processes they would be too small for who has one connection, and so one process.
Whose address it is says `api/addresses.py`.

A listing has no bound of its own here: at an on-sale thousands a second want the same one, each of them rightly. What
is too much for it is shed where it waits (`domain/mailbox.py`).
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from uuid import UUID

from aiohttp import hdrs

from api.problems import Refused

MAX_BUCKETS = 50_000
"""Per rule, some 200 bytes each. Beyond, the longest unused is forgotten, that is: full again."""

IPV6_NETWORK_BITS = 64
"""The smallest network a customer gets: addresses within it are one person's to choose from."""


@dataclass(frozen=True, slots=True)
class Rule:
    """So many at once, and so many a second in the long run."""

    burst: int
    per_second: float


PER_ADDRESS = Rule(burst=10_000, per_second=2_000)
"""An office, a stadium's network or a demo with hundreds of buyers is one address. It only keeps one address from
taking a whole process, which answers some ten thousand a second."""

PER_ACCOUNT = Rule(burst=500, per_second=50)
"""Far more than a person clicks, enough to import a season's listings in a minute; a robot on an on-sale meets it."""

SIGN_UPS_PER_ADDRESS = Rule(burst=1_000, per_second=5)
"""A crowd at the doors of an on-sale signs up from one network; making accounts by the million does not work."""

PASSWORDS_PER_EMAIL = Rule(burst=10, per_second=0.2)
"""Mistyping is human; guessing gets twelve tries a minute for one account, wherever they come from."""

SIGN_INS_PER_ADDRESS = Rule(burst=1_000, per_second=5)
"""The same crowd signs in. Trying one password on everybody's account does not work from one address."""

ORDERS_PER_ACCOUNT_AND_LISTING = Rule(burst=100, per_second=5)
"""Tries to order. A person on a listing that is sold out clicks again and again, but not faster."""

ORDERS_PER_ADDRESS_AND_LISTING = Rule(burst=5_000, per_second=1_000)
"""The crowd of one network on one listing: half of what the address may ask for at all."""

LETTERS_PER_ADDRESS = SIGN_UPS_PER_ADDRESS
"""Links asked for or followed: who signs up gets one, and a crowd signs up from one network."""

LETTERS_PER_EMAIL = Rule(burst=5, per_second=1 / 300)
"""One gets lost, or was typed wrongly; nobody's mailbox is filled by somebody else through us."""

EXPORTS_PER_ACCOUNT = Rule(burst=10, per_second=0.01)
"""An export may read a great deal; nobody needs more than one in a while."""

ONBOARDINGS_PER_ACCOUNT = Rule(burst=5, per_second=0.1)
"""Each makes a link at Stripe. It is good once and for minutes, so somebody may need some of them."""

DISPUTES_PER_ACCOUNT = Rule(burst=20, per_second=0.1)
"""Each reads all that happened to the order's listings since; one with a dispute a day has time to read them."""


class Buckets:
    """One rule's buckets. Used on one event loop."""

    def __init__(self, rule: Rule, most: int = MAX_BUCKETS) -> None:
        self._rule = rule
        self._most = most
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, now: float) -> float:
        """Takes one token; returns 0, or the seconds until there will be one."""
        left, since = self._buckets.pop(key, (float(self._rule.burst), now))
        left = min(float(self._rule.burst), left + (now - since) * self._rule.per_second)
        wait_seconds = 0.0 if left >= 1.0 else (1.0 - left) / self._rule.per_second
        while len(self._buckets) >= self._most:
            self._buckets.popitem(last=False)
        self._buckets[key] = (left - 1.0 if wait_seconds == 0.0 else left, now)
        return wait_seconds


class Limits:
    """All rules; `enabled` False lets everything pass. Every method raises `Refused` (429) beyond its rule."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._addresses = Buckets(PER_ADDRESS)
        self._accounts = Buckets(PER_ACCOUNT)
        self._sign_ups = Buckets(SIGN_UPS_PER_ADDRESS)
        self._sign_ins = Buckets(SIGN_INS_PER_ADDRESS)
        self._passwords = Buckets(PASSWORDS_PER_EMAIL)
        self._orders = Buckets(ORDERS_PER_ACCOUNT_AND_LISTING)
        self._orders_of_address = Buckets(ORDERS_PER_ADDRESS_AND_LISTING)
        self._links = Buckets(LETTERS_PER_ADDRESS)
        self._letters = Buckets(LETTERS_PER_EMAIL)
        self._exports = Buckets(EXPORTS_PER_ACCOUNT)
        self._disputes = Buckets(DISPUTES_PER_ACCOUNT)
        self._onboardings = Buckets(ONBOARDINGS_PER_ACCOUNT)

    def check_address(self, remote: str | None) -> None:
        """Any request."""
        self._check(self._addresses, remote)

    def check_account(self, user_id: UUID) -> None:
        """Any request of somebody signed in."""
        if self._enabled:
            _refuse(self._accounts.take(user_id, time.monotonic()))

    def check_sign_up(self, remote: str | None) -> None:
        """A new account."""
        self._check(self._sign_ups, remote)

    def check_password(self, email: str, remote: str | None) -> None:
        """A try of an account's password."""
        self._check(self._sign_ins, remote)
        if self._enabled:
            _refuse(self._passwords.take(email, time.monotonic()))

    def check_order(self, user_id: UUID, remote: str | None, listings: Iterable[UUID]) -> None:
        """A try to order, for each of its listings."""
        if self._enabled:
            now, network = time.monotonic(), network_of(remote)
            for listing in listings:
                _refuse(self._orders.take((user_id, listing), now))
                _refuse(self._orders_of_address.take((network, listing), now))

    def check_link(self, remote: str | None) -> None:
        """A link that is followed."""
        self._check(self._links, remote)

    def check_letter(self, remote: str | None, email: str) -> None:
        """A letter to an address, whether there is an account of it or not."""
        self._check(self._links, remote)
        if self._enabled:
            _refuse(self._letters.take(email, time.monotonic()))

    def check_export(self, user_id: UUID) -> None:
        """An export of all that is somebody's."""
        if self._enabled:
            _refuse(self._exports.take(user_id, time.monotonic()))

    def check_disputes(self, user_id: UUID) -> None:
        """The disputes of an order that has some."""
        if self._enabled:
            _refuse(self._disputes.take(user_id, time.monotonic()))

    def check_onboarding(self, user_id: UUID) -> None:
        """A link to where a seller tells Stripe who they are."""
        if self._enabled:
            _refuse(self._onboardings.take(user_id, time.monotonic()))

    def _check(self, buckets: Buckets, remote: str | None) -> None:
        if self._enabled:
            _refuse(buckets.take(network_of(remote), time.monotonic()))


def network_of(remote: str | None) -> str:
    """The address whose bucket it is: IPv4 as it is, IPv6 its /64; one for all who have none (a Unix socket)."""
    if remote is None or ":" not in remote:
        return remote or ""
    try:
        address = ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{int(address) >> IPV6_NETWORK_BITS:x}::/{IPV6_NETWORK_BITS}"


def _refuse(wait_seconds: float) -> None:
    if wait_seconds > 0.0:
        seconds = str(max(1, math.ceil(wait_seconds)))
        raise Refused("too_many_requests", f"try again in {seconds} s", headers={hdrs.RETRY_AFTER: seconds})

"""People who talk to the API over HTTP, and what an answer, or none, says about what was done."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec

from crash.history import OFFER, PAY, RESERVE, Outcome, Recorder, Try, now_ns

ANSWER_SECONDS = 15.0
"""Longer than the API itself tries while its store is away (10 s)."""

IMPATIENT = 0.1
"""Share of the written-down requests whose sender leaves after a moment: faults alone cut off few answers, since a
process that is killed had only some requests under way."""

LEAST_PATIENCE_SECONDS, MOST_PATIENCE_SECONDS = 0.002, 0.05
"""Of these: about as long as an answer takes."""

REPEAT_SECONDS = 180.0
"""How long a request is repeated under its key: a killed tree is back within a third of it."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0
"""Between repetitions."""

GOOD = (200, 201)
UNAUTHENTICATED = 401
REFUSALS = ("sold_out", "order_not_open", "card_declined", "ticket_locked")
"""What the house may refuse these people, who do nothing wrong."""

PASSWORD = "correct horse battery"


@dataclass(slots=True)
class Person:
    """An account."""

    number: int
    email: str
    token: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """A request before it is sent: a line of the history without times and answer."""

    kind: str
    method: str
    path: str
    body: Any = None
    listing: str | None = None
    order: str | None = None
    quantity: int | None = None
    key: str | None = None
    card: str | None = None

    def under_new_key(self, chance: random.Random) -> Wish:
        """The same as one to be done once."""
        return replace(self, key=str(UUID(int=chance.getrandbits(128))))


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; by default nothing, of a request that may have arrived."""

    status: int | None = None
    text: str = ""
    sent: bool = True


def outcome_of(kind: str, status: int, code: str | None) -> Outcome:
    """What an answer says. A payment takes several steps, so one that was put off may have done the first of them."""
    if status in GOOD:
        return "ok"
    if code in REFUSALS:
        return "refused"
    if code in ("busy", "too_many_requests", "idempotency_in_progress", "unauthenticated"):
        return "unknown" if kind == PAY and code == "busy" else "nothing"
    if code in ("unavailable", "payment_unavailable"):
        return "unknown"
    return "unexpected"


class Client:
    """Sends requests and writes them down."""

    def __init__(self, url: str, recorder: Recorder, seed: int) -> None:
        self._url = url
        self._recorder = recorder
        self._chance = random.Random(f"{seed} patience")
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
        # aiohttp silently repeats a DELETE whose answer was cut off, on a new connection as on a kept one, and then one
        # line of the history would be two requests. It has no public way to say no.
        self._session._retry_connection = False

    async def close(self) -> None:
        """No request may follow."""
        await self._session.close()

    async def sign_up(self, number: int) -> Person:
        """A new account, whatever it takes, within `REPEAT_SECONDS`."""
        person = Person(number, f"p{number}-{uuid4().hex}@crash.example")
        body = {"email": person.email, "password": PASSWORD, "name": f"Person {number}"}
        answer = await self._until_good(Wish("sign up", "POST", "/api/users/signup", body, key=uuid4().hex))
        person.token = answer["access_token"]
        return person

    async def read(self, person: Person, path: str) -> Any:
        """What is there; asked again until it is answered, within `REPEAT_SECONDS`."""
        return await self._until_good(Wish("read", "GET", path), person)

    async def once(self, person: Person, wish: Wish) -> Try:
        """One request, written down."""
        number, started_ns = self._recorder.next_number(), now_ns()
        reply = Reply()
        try:
            reply = await self._ask(wish, person, self._patience_seconds())
        finally:  # also when nobody waits for it any more
            ended = _ended(number, started_ns, person, wish, reply)
            self._recorder.keep(ended)
        if reply.status == UNAUTHENTICATED:
            await self._sign_in(person)
        return ended

    async def until_answered(self, person: Person, wish: Wish, chance: random.Random) -> Try:
        """The same request under the same key again and again, until it is answered; the last one without an answer
        when that takes longer than `REPEAT_SECONDS`."""
        assert wish.key is not None, "only under a key may it be repeated"
        last: Try = await repeated(
            lambda: self.once(person, wish), lambda t: t.outcome not in ("unknown", "nothing"), chance
        )
        return last

    async def _until_good(self, wish: Wish, person: Person | None = None) -> Any:
        async def ask() -> Reply:
            reply = await self._ask(wish, person)
            if reply.status == UNAUTHENTICATED and person is not None:
                await self._sign_in(person)
            return reply

        chance = random.Random(wish.path)
        reply: Reply = await repeated(ask, lambda reply: reply.status in GOOD, chance)
        if reply.status not in GOOD:
            raise RuntimeError(f"{wish.method} {wish.path} was not answered within {REPEAT_SECONDS:.0f} s: {reply}")
        return msgspec.json.decode(reply.text)

    async def _sign_in(self, person: Person) -> None:
        """Access tokens live for minutes; a run may be longer."""
        body = {"email": person.email, "password": PASSWORD}
        reply = await self._ask(Wish("sign in", "POST", "/api/users/signin", body), None)
        if reply.status in GOOD:
            person.token = msgspec.json.decode(reply.text)["access_token"]

    def _patience_seconds(self) -> float:
        if self._chance.random() < IMPATIENT:
            return self._chance.uniform(LEAST_PATIENCE_SECONDS, MOST_PATIENCE_SECONDS)
        return ANSWER_SECONDS

    async def _ask(self, wish: Wish, person: Person | None, patience_seconds: float = ANSWER_SECONDS) -> Reply:
        headers = {"Content-Type": "application/json"} if wish.body is not None else {}
        if person is not None:
            headers["Authorization"] = f"Bearer {person.token}"
        if wish.key is not None:
            headers["Idempotency-Key"] = wish.key
        data = None if wish.body is None else msgspec.json.encode(wish.body)
        patience = aiohttp.ClientTimeout(total=patience_seconds)
        try:
            async with self._session.request(
                wish.method, self._url + wish.path, data=data, headers=headers, timeout=patience
            ) as response:
                return Reply(response.status, await response.text())
        except aiohttp.ClientConnectorError:
            return Reply(sent=False)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return Reply()


async def repeated(
    ask: Callable[[], Awaitable[Any]],
    good: Callable[[Any], bool],
    chance: random.Random,
    limit_seconds: float = REPEAT_SECONDS,
) -> Any:
    """Asks until the answer is good, or time is up; the last answer."""
    loop = asyncio.get_running_loop()
    give_up_at, pause_seconds = loop.time() + limit_seconds, FIRST_PAUSE_SECONDS
    while not good(answer := await ask()) and loop.time() < give_up_at:
        await asyncio.sleep(pause_seconds * chance.uniform(0.5, 1.0))
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
    return answer


def _code(text: str) -> str | None:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
    return found.get("code") if isinstance(found, dict) else None


def _ended(number: int, started_ns: int, person: Person, wish: Wish, reply: Reply) -> Try:
    """The line of the history."""
    code = _code(reply.text) if reply.status is not None and reply.status not in GOOD else None
    outcome = outcome_of(wish.kind, reply.status, code) if reply.status else "unknown" if reply.sent else "nothing"
    if wish.kind == PAY and outcome == "ok" and msgspec.json.decode(reply.text)["status"] != "succeeded":
        outcome = "unexpected"  # these cards succeed at once or never
    made = msgspec.json.decode(reply.text)["id"] if outcome == "ok" and wish.kind in (OFFER, RESERVE) else None
    return Try(
        number=number,
        person=person.number,
        kind=wish.kind,
        started_ns=started_ns,
        ended_ns=now_ns(),
        outcome=outcome,
        listing=made if wish.kind == OFFER else wish.listing,
        order=made if wish.kind == RESERVE else wish.order,
        quantity=wish.quantity,
        key=wish.key,
        card=wish.card,
        status=reply.status,
        code=code,
        answer=reply.text,
    )

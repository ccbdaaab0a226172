"""`Idempotency-Key`: the first answer of a key is kept with the work itself and repeated to every later request.

As at Stripe (docs.stripe.com/api/idempotent_requests): a repeated request gets the same status and body with
`Idempotent-Replayed: true`; other parameters under the key are an `idempotency_error`; while the first request is
still running, another gets 409 `idempotency_key_in_use`. An answer is kept once work has begun, whether it succeeded
or not; a request whose parameters are wrong leaves no trace.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sandbox.errors import IDEMPOTENCY_ERROR, StripeError, invalid
from sandbox.store import Store

KEYS_KEPT = 250_000
"""The newest keys that are kept (about 400 MB of disk at most)."""
KEPT_SECONDS = 24 * 3600
"""Stripe's time: an older key is as good as new."""
PRUNE_EVERY = 500
MAX_KEY = 255
"""Stripe's limit, in characters."""


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    """An answer given before; `request` is the id of the request that did the work."""

    status: int
    body: str
    request: str


class IdempotencyKeys:
    """The keys that were used, on disk, and those in use now, in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._in_use: set[str] = set()

    def begin(self, key: str, fingerprint: str, now: int) -> SavedAnswer | None:
        """Takes the key into use, until `end`. Returns the answer to repeat, if there is one (then nothing is taken).

        Raises StripeError when the key is too long, in use, or was used for another request.
        """
        if len(key) > MAX_KEY or not key.isascii():
            raise invalid(f"An idempotency key has at most {MAX_KEY} ASCII characters.")
        if key in self._in_use:
            raise StripeError(
                409,
                IDEMPOTENCY_ERROR,
                "Another request with this idempotency key is still running. Try again later.",
                code="idempotency_key_in_use",
            )
        rows = self._store.read(
            "SELECT fingerprint, status, body, request FROM idempotency_keys WHERE key = ? AND created > ?",
            (key, now - KEPT_SECONDS),
        )
        if not rows:
            self._in_use.add(key)
            return None
        first_fingerprint, status, body, request = rows[0]
        if first_fingerprint != fingerprint:
            raise StripeError(
                400,
                IDEMPOTENCY_ERROR,
                f"The idempotency key '{key}' was first used for another request or with other parameters.",
            )
        return SavedAnswer(status, body, request)

    def save(self, key: str, fingerprint: str, now: int, answer: SavedAnswer) -> None:
        """Keeps the answer, in the transaction of the work it tells of."""
        sequence = self._store.write(
            "INSERT OR REPLACE INTO idempotency_keys (key, fingerprint, created, status, body, request) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (key, fingerprint, now, answer.status, answer.body, answer.request),
        )
        if sequence % PRUNE_EVERY == 0:
            self._store.write("DELETE FROM idempotency_keys WHERE sequence <= ?", (sequence - KEYS_KEPT,))

    def end(self, key: str) -> None:
        """The request is over, in whatever way: others may use the key."""
        self._in_use.discard(key)


def fingerprint(path: str, pairs: list[tuple[str, str]], *, public: bool) -> str:
    """What makes two requests the same: the path, the parameters in any order, and the kind of API key.

    The kind, because a repeated answer must not show a publishable key what only a secret key may see.
    """
    return hashlib.blake2b(repr((path, sorted(pairs), public)).encode(), digest_size=16).hexdigest()

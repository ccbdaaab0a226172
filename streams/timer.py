"""What a worker does again and again, beside its read models."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psycopg

from domain.ports import PaymentUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timer:
    """Something to be done again and again, on every worker."""

    name: str
    interval_seconds: float
    do: Callable[[], Awaitable[None]]

    async def tick(self) -> None:
        """Does it once. Never raises, since Faust ends the whole worker for that: what failed is done when its time
        comes again."""
        try:
            await self.do()
        except (psycopg.Error, PaymentUnavailable) as error:
            log.warning("%s is put off (%s)", self.name, type(error).__name__)
        except Exception:
            log.exception("%s failed; it is tried again in %g s", self.name, self.interval_seconds)

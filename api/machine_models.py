"""What machines get: health, readiness, keys, and Stripe its receipt."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from api.models import View


class Received(View):
    received: bool


class Alive(View):
    status: Literal["ok"]


class Reader(View):
    """The relay, or a read model."""

    name: str
    position: Annotated[int, Meta(description="Everything up to there is published, or applied.")]
    lag_events: Annotated[int, Meta(description="At most so many are not yet.")]
    lag_seconds: Annotated[float, Meta(description="The age of the oldest of them.")]
    parked_events: Annotated[
        int, Meta(description="Kept aside because they could not be applied, or follow one that could not.")
    ]


class Ready(View):
    status: Literal["ready"]
    log_end: Annotated[int, Meta(description="The position of the newest event.")]
    relay_trouble: Annotated[str | None, Meta(description="Why nothing is published until somebody has looked.")]
    readers: list[Reader]


class Activity(View):
    """Soon after an order, not with it."""

    orders_per_second: Annotated[float, Meta(description="Over the last ten seconds.")]
    open_orders: Annotated[int, Meta(description="Whose tickets are held until they are paid, or their time is over.")]


class JsonWebKey(View):
    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str
    kid: str
    use: Literal["sig"]
    alg: Literal["EdDSA"]


class JsonWebKeys(View):
    keys: list[JsonWebKey]

"""Stripe's signature of a webhook: HMAC-SHA256 over the time and the body as it came (docs.stripe.com/webhooks).

The package's own check takes a time to come, however far, and decodes the body first.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Sequence

TOLERANCE_SECONDS = 300
"""How far its time may be from ours, either way: Stripe's own default. Stripe signs every redelivery anew."""

MAX_SIGNATURES = 10
"""Stripe sends one for each secret that is good at its side: two while one is replaced."""

_TIME = re.compile(r"[0-9]{1,12}")
_ENCODED = re.compile(r"[0-9a-f]{64}")


class BadSignature(Exception):
    """The body was not signed with any of the secrets, or not now."""


def check(raw: bytes, header: str, secrets: Sequence[str]) -> None:
    """Looks whether one of the secrets signed this body, now.

    Args:
        raw: the body as it came: the signature is over its bytes.
        header: the `Stripe-Signature` header, `t=<Unix time>,v1=<hex>`, perhaps with several `v1` and other schemes.
        secrets: those that are good now; two while one is being replaced.

    Raises:
        BadSignature: see there.
    """
    parts = [part.partition("=") for part in header.split(",", maxsplit=MAX_SIGNATURES + 1)]
    times = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1" and _ENCODED.fullmatch(value)]
    if len(times) != 1 or _TIME.fullmatch(times[0]) is None:
        raise BadSignature("the signature has no time")
    signed = f"{times[0]}.".encode() + raw
    # Every pair is compared, each in a time that does not hang on the bytes.
    good = [
        hmac.compare_digest(hmac.digest(secret.encode(), signed, "sha256").hex(), signature)
        for secret in secrets
        for signature in signatures
    ]
    if not any(good):
        raise BadSignature("the signature is not good for this body")
    if abs(time.time() - int(times[0])) > TOLERANCE_SECONDS:
        raise BadSignature(f"the signature is of a time more than {TOLERANCE_SECONDS} seconds from now")

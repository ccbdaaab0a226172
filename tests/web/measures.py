"""What a page weighs and how soon its content is there, on a phone with a bad connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from playwright.async_api import Page

ROUND_TRIP_MS, DOWN_BITS_PER_SECOND, UP_BITS_PER_SECOND = 150, 1_638_400, 750_000
"""Lighthouse's slow mobile connection."""

_WATCH = """
window.seen = {shift: 0};
const watch = (type, note) =>
  new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({type, buffered: true});
watch("paint", (entry) => { seen[entry.name] = entry.startTime; });
watch("largest-contentful-paint", (entry) => { seen.largest = entry.startTime; });
watch("layout-shift", (entry) => { seen.shift += entry.value; });
"""


@dataclass(frozen=True)
class Measured:
    """One page, loaded with nothing in the cache. `shift` is its cumulative layout shift."""

    bytes: int
    requests: int
    first_ms: float
    largest_ms: float
    shift: float


async def measure(page: Page, path: str, *, slower: int = 1) -> Measured:
    """Loads the page slowly, and waits until it is quiet. `slower`: so many times than this machine computes."""
    session = await page.context.new_cdp_session(page)
    received: list[float] = []
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    await session.send("Network.enable")
    await session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    await session.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": ROUND_TRIP_MS,
            "downloadThroughput": DOWN_BITS_PER_SECOND / 8,
            "uploadThroughput": UP_BITS_PER_SECOND / 8,
        },
    )
    await session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    await page.add_init_script(_WATCH)
    await page.goto(path, wait_until="load")
    await asyncio.sleep(2.5)
    seen = await page.evaluate("window.seen")
    await session.detach()
    return Measured(int(sum(received)), len(received), seen["first-contentful-paint"], seen["largest"], seen["shift"])

"""The provider's side: what people and banks do there, past the house, and what its books say in the end."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import aiohttp

from crash.tree import Tree

TRIES, PAUSE_SECONDS = 60, 0.5
"""A killed sandbox is back within seconds."""

PAGE = 100

_VISIT = re.compile(r'name="visit" value="([^"]+)"')


class StripeAway(Exception):
    """It did not answer for long."""


class Stripe:
    """The sandbox of a tree that may be killed at any moment. Every request is tried until it is answered."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15))

    async def close(self) -> None:
        await self._session.close()

    async def confirm(self, intent_id: str, card: str) -> None:
        await self._ask("POST", f"/v1/payment_intents/{intent_id}/confirm", {"payment_method": card})

    async def authenticate(self, intent_id: str, *, succeed: bool) -> None:
        outcome = "succeed" if succeed else "fail"
        await self._ask("POST", f"/_sandbox/payment_intents/{intent_id}/authenticate", {"outcome": outcome})

    async def refund(self, charge_id: str, amount: int) -> None:
        await self._ask("POST", "/v1/refunds", {"charge": charge_id, "amount": str(amount)})

    async def onboard(self, url: str) -> None:
        """A seller opens the page that a link leads to, and tells Stripe who they are."""
        async with self._session.get(url) as page:
            visit = _VISIT.search(await page.text())
        assert visit is not None, "the sandbox's page has a form"
        async with self._session.post(url, data={"visit": visit[1]}, allow_redirects=False) as answer:
            await answer.read()

    async def end_disputes(self, chance: random.Random) -> int:
        """Every bank decides; how many disputes there were."""
        count = 0
        async for dispute in self._all("/v1/disputes"):
            count += 1
            evidence = chance.choice(("winning_evidence", "losing_evidence"))
            if dispute["status"] in ("needs_response", "warning_needs_response"):
                form = {"evidence[uncategorized_text]": evidence, "submit": "true"}
                await self._ask("POST", f"/v1/disputes/{dispute['id']}", form)
        return count

    async def disputes(self) -> Counter[str]:
        """How many stand how."""
        return Counter([dispute["status"] async for dispute in self._all("/v1/disputes")])

    async def balance(self) -> dict[str, int]:
        """The house's, in minor units by currency (upper case)."""
        found = await self._ask("GET", "/v1/balance")
        sums: Counter[str] = Counter()
        for part in (*found["available"], *found["pending"]):
            sums[part["currency"].upper()] += part["amount"]
        return {currency: amount for currency, amount in sums.items() if amount}

    async def transferred(self) -> int:
        """What sellers have, in minor units."""
        return sum([one["amount"] - one["amount_reversed"] async for one in self._all("/v1/transfers")])

    async def is_quiet(self) -> bool:
        """Whether no webhook waits."""
        state = await self._ask("GET", "/_sandbox/state")
        return bool(state["webhooks"]["pending"] == 0)

    async def _all(self, path: str) -> AsyncIterator[dict[str, Any]]:
        after = ""
        while True:
            page = await self._ask("GET", f"{path}?limit={PAGE}{after}")
            for item in page["data"]:
                yield item
            if not page["has_more"]:
                return
            after = f"&starting_after={page['data'][-1]['id']}"

    async def _ask(self, method: str, path: str, form: dict[str, str] | None = None) -> Any:
        """Raises `StripeAway`. A refusal is an answer like any other."""
        for _ in range(TRIES):
            try:
                found = self._tree.found()
                headers = {"Authorization": f"Bearer {found.stripe_secret_key}"}
                url = f"{found.stripe_api_base}{path}"
                async with self._session.request(method, url, data=form, headers=headers) as answer:
                    if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                        return await answer.json(content_type=None)
            except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError, ValueError):
                pass
            await asyncio.sleep(PAUSE_SECONDS)
        raise StripeAway(path)

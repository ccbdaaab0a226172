"""Clients behind docker/nginx.conf in Debian's nginx, before a whole API: each is known by its own address."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from api import limits
from api.limits import Rule
from tests.api.house import House, running_house, settings_of
from tests.docker.nginx import MARKS, running_nginx

pytestmark = MARKS

FORGED = "198.51.100.66"


async def ask(port: int, source: str, headers: dict[str, str] | None = None) -> int:
    """A request from an address of the loopback network."""
    connector = aiohttp.TCPConnector(local_addr=(source, 0))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://127.0.0.1:{port}/api/tickets", headers=headers) as answer,
    ):
        return answer.status


@pytest.mark.parametrize("trusted", [True, False])
async def test_each_client_has_a_bucket_of_its_own(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    monkeypatch.setattr(limits, "PER_ADDRESS", Rule(burst=3, per_second=0.001))
    proxies = (ip_network("127.0.0.1"),) if trusted else ()
    settings = settings_of(
        database_url, tmp_path, rate_limit=True, trusted_proxies=proxies, stripe_api_base="http://127.0.0.1:1"
    )
    async with running_house(settings) as house:
        await _try(house, tmp_path, trusted)


async def _try(house: House, folder: Path, trusted: bool) -> None:
    upstream_port = urlsplit(house.url).port
    assert upstream_port is not None
    with running_nginx(upstream_port, folder) as port:
        forged = [
            {"X-Forwarded-For": FORGED},
            {"Forwarded": f"for={FORGED}"},
            {"X-Forwarded-For": f"{FORGED}, 127.0.0.1", "Forwarded": f'for="{FORGED}'},
        ]
        assert [await ask(port, "127.0.0.2", headers) for headers in forged] == [200, 200, 200]
        # Whatever they said, these three were one client's.
        assert await ask(port, "127.0.0.2") == 429
        assert await ask(port, "127.0.0.2", {"X-Forwarded-For": FORGED}) == 429
        # Another one is not charged for it, unless the API does not know whom to believe.
        assert await ask(port, "127.0.0.3") == (200 if trusted else 429)
        # Past the proxy nobody is believed; the connection is the client's own.
        told = [await ask(upstream_port, "127.0.0.4", {"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(4)]
        assert told == [200, 200, 200, 429]

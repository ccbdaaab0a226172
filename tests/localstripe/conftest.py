"""localstripe: a Stripe double that somebody else wrote, as a process of its own in a virtual environment of its own.

What version 1.15.10 cannot do, and this house's tests therefore ask of the sandbox and of stripe-mock: Connect
(accounts, transfers), disputes, fees, idempotency keys, lists of refunds by time, webhooks for refunds, redelivery of
any. `confirm` takes no `payment_method` (500), so it is the buyer's page that pays here, as with Stripe.js; and an
intent whose card was refused cannot be tried again, unless it is made to forget its charge.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from tests.api.house import SECRET_KEY
from tests.api.test_api_server import wait_until_listening
from tests.doors.test_requirements import pinned

ROOT = Path(__file__).parents[2]
LOCK = "localstripe.txt"
INSTALL_SECONDS = 240.0
"""A dozen small packages, on a slow network."""

# By its own command it would listen on every interface, and keep all in one file that others on the machine share.
_PROGRAM = """
import sys
from aiohttp import web
from localstripe import resources
from localstripe.server import app
resources.Store.dump_to_disk = lambda self: None
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]))
"""


@dataclass
class LocalStripe:
    """A server that runs, and a buyer's page at it."""

    url: str
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {SECRET_KEY}"}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.content_type == "application/json" else None

    async def page_pays(self, payment_intent_id: str, card: str) -> int:
        """What Stripe.js does with a card; returns the status of the answer."""
        path = f"/v1/payment_intents/{payment_intent_id}"
        assert (await self.ask("POST", path, {"payment_method": card, "latest_charge": None}))[0] == 200
        return (await self.ask("POST", f"{path}/confirm", {}))[0]


@pytest.fixture(scope="session")
def localstripe_python() -> Path:
    """The interpreter of its environment, made in `build/` when the lock has changed."""
    lock = ROOT / "requirements" / LOCK
    made_of = f"{sys.version} {hashlib.sha256(lock.read_bytes()).hexdigest()}"
    folder = ROOT / "build" / "localstripe"
    python, stamp = folder / "bin" / "python", folder / "made-of"
    if stamp.exists() and stamp.read_text() == made_of:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(folder))
    builder = folder / "setuptools.txt"
    builder.write_text(pinned(LOCK)["setuptools"])
    for arguments in (["-r", str(builder)], ["--no-build-isolation", "-r", str(lock)]):
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        _run(*pip, *arguments)
    stamp.write_text(made_of)
    return python


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"localstripe was NOT asked: it was not installed within {INSTALL_SECONDS:.0f} s")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"localstripe was NOT asked: it could not be installed: {reason}")


@pytest.fixture
def localstripe_url(localstripe_python: Path) -> Iterator[str]:
    port = unused_port()
    command = [str(localstripe_python), "-c", _PROGRAM, str(port)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_until_listening(port, child)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()
        child.communicate()


@pytest.fixture
async def localstripe(localstripe_url: str) -> AsyncIterator[LocalStripe]:
    async with aiohttp.ClientSession() as session:
        yield LocalStripe(localstripe_url, session)

"""stripe-mock: Stripe's own server that checks every request against its description of the API, and keeps nothing.

It is built once from its Go module into a folder outside the tree. Where there is no Go, or its modules cannot be had,
the tests are skipped and say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

VERSION = "v0.203.0"
"""Carries the description of the API version that the gateway pins."""
MODULE = f"github.com/stripe/stripe-mock@{VERSION}"
KEPT = Path.home() / ".cache" / "stagedoor" / f"stripe-mock-{VERSION}" / "stripe-mock"
BUILD_SECONDS = 240.0
"""With its modules to fetch, on a slow machine."""
START_SECONDS = 20.0
"""It reads eight megabytes of description first."""


@dataclass(frozen=True)
class StripeMock:
    """A server that runs."""

    url: str
    log: Path

    def seen(self) -> list[str]:
        """Every request so far, as `POST /v1/refunds`."""
        lines = self.log.read_text().splitlines()
        return [line.removeprefix("Request: ") for line in lines if line.startswith("Request: ")]


@pytest.fixture(scope="session")
def stripe_mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeMock]:
    """The server, on loopback; it speaks one version of the API and refuses every other one."""
    folder = tmp_path_factory.mktemp("stripe_mock")
    program, port, log = _program(), unused_port(), folder / "log"
    # Told nothing of HTTPS it would listen for that on every interface.
    listening = ["-http-addr", f"127.0.0.1:{port}", "-https-unix", str(folder / "https")]
    with log.open("wb") as out:
        server = subprocess.Popen(
            [str(program), *listening, "-strict-version-check"], stdout=out, stderr=subprocess.STDOUT
        )
    try:
        mock = StripeMock(f"http://127.0.0.1:{port}", log)
        _wait_for(mock, server)
        yield mock
    finally:
        server.kill()
        server.wait()


def _program() -> Path:
    if KEPT.exists():
        return KEPT
    if shutil.which("go") is None:
        pytest.skip("stripe-mock was NOT asked: `go` is not on this machine")
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=KEPT.parent) as folder:
        try:
            built = subprocess.run(
                ["go", "install", MODULE],
                env=os.environ | {"GOBIN": folder},
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"stripe-mock was NOT asked: it was not built within {BUILD_SECONDS:.0f} s")
        if built.returncode:
            reason = (built.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"stripe-mock was NOT asked: it could not be built: {reason}")
        (Path(folder) / KEPT.name).replace(KEPT)
    return KEPT


def _wait_for(mock: StripeMock, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(mock.url, timeout=1)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"stripe-mock did not start: {mock.log.read_text()[-1000:]}")

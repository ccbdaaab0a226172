"""An API process with PostgreSQL and nothing else: taking an order needs no more, and nothing else runs beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from adapters.database import migrate
from adapters.settings import MAX_HELD_PER_BUYER
from bench.stand import STOP_SECONDS
from cli.embedded.ports import free_port
from cli.embedded.postgres import embedded_postgres

READY_SECONDS = 30.0
ASK_EVERY_SECONDS = 0.05

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Never through a proxy that the environment names."""

NewDatabase = Callable[[str], str]
"""Makes a database of this name, with the schema; its URL."""


@dataclass(frozen=True)
class Api:
    """A running API process."""

    url: str
    pid: int

    def memory_bytes(self) -> int:
        """What it has resident."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def database_server() -> Iterator[NewDatabase]:
    """The embedded PostgreSQL of `stagedoor up`, with its settings, in a folder that goes with the `with` block.

    Only from the main thread, as `embedded_postgres`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="stagedoor-bench-", ignore_cleanup_errors=True) as folder,
        embedded_postgres(Path(folder)) as url,
    ):

        def new_database(name: str) -> str:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
            made = urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
            migrate(made)
            return made

        yield new_database


@contextmanager
def api_alone(database_url: str) -> Iterator[Api]:
    """`stagedoor api` on a database, ready, for the `with` block.

    Raises:
        RuntimeError: it did not become ready.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="stagedoor-bench-api-") as folder, tempfile.TemporaryFile() as output:
        settings = {
            "DATABASE_URL": database_url,
            "STAGEDOOR_DATA_DIR": folder,
            "STAGEDOOR_HOST": "127.0.0.1",
            "STAGEDOOR_PORT": str(port),
            "STAGEDOOR_API_PROCESSES": "1",
            "STAGEDOOR_RATE_LIMIT": "off",
            "STAGEDOOR_MAX_HELD_PER_BUYER": str(MAX_HELD_PER_BUYER),  # looked at for every order, and never reached
            "STRIPE_SECRET_KEY": "sk_test_nobody_pays_here",
            "STRIPE_WEBHOOK_SECRET": "whsec_nobody_pays_here",
        }
        command = [sys.executable, "-m", "cli.main", "api"]
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=output, stderr=output)
        try:
            if not _becomes_ready(process, f"http://127.0.0.1:{port}/readyz"):
                output.seek(0)
                raise RuntimeError(f"the API did not become ready: {output.read().decode(errors='replace')}")
            yield Api(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()


def _becomes_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    give_up_at = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < give_up_at:
        with suppress(OSError), _direct.open(url, timeout=READY_SECONDS):
            return True
        time.sleep(ASK_EVERY_SECONDS)
    return False

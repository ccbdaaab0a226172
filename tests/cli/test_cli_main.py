"""The real command by subprocess: exit codes, one clear line, never a traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import COMMANDS, run

ROOT = Path(__file__).resolve().parents[2]


def stagedoor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
        env={**os.environ, **environment},
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What it said on standard error, which is one line of the command's own."""
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("stagedoor: ")
    return done.stderr.removeprefix("stagedoor: ").strip()


@pytest.fixture
def refused() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_help_lists_every_command_and_imports_none() -> None:
    done = stagedoor("--help")
    assert done.returncode == 0
    for name, (_, line) in COMMANDS.items():
        assert (f"\n  {name} " in done.stdout) == bool(line)
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cli.main", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stderr
    assert "aiohttp" not in loaded
    assert "psycopg" not in loaded


def test_version() -> None:
    assert stagedoor("--version").stdout.startswith("stagedoor, version ")


def test_no_command_shows_the_help() -> None:
    done = stagedoor()
    assert done.returncode == 2
    assert "Commands:" in done.stderr


@pytest.mark.parametrize("arguments", [("nosuch",), ("up", "--nosuch"), ("sandbox", "--port", "none")])
def test_wrong_use(arguments: tuple[str, ...]) -> None:
    assert one_line(stagedoor(*arguments))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("STAGEDOOR_PORT", "http", "STAGEDOOR_PORT='http': expected a whole number"),
        ("STAGEDOOR_BROKER", "rabbit", "STAGEDOOR_BROKER='rabbit': expected one of auto, apache, builtin"),
        ("STAGEDOOR_HOST", "203.0.113.7", "cannot listen on 203.0.113.7:8080"),
        ("DATABASE_URL", "mysql://localhost/x", "DATABASE_URL must be a URL that starts with postgresql://"),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost", "expected host:port"),
        ("STRIPE_SECRET_KEY", "sk_test_1", "needs both STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET"),
        ("STRIPE_API_BASE", "http://127.0.0.1:1", "needs both STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET"),
    ],
)
def test_a_bad_setting(name: str, value: str, said: str, tmp_path: Path) -> None:
    assert said in one_line(stagedoor("up", **{"STAGEDOOR_DATA_DIR": str(tmp_path), name: value}))


def test_a_database_out_of_reach_is_named_without_its_password(refused: int, tmp_path: Path) -> None:
    url = f"postgresql://shop:open%20sesame@127.0.0.1:{refused}/x"
    for command in ("up", "migrate", "api", "relay", "worker"):
        said = one_line(stagedoor(command, STAGEDOOR_DATA_DIR=str(tmp_path), DATABASE_URL=url))
        assert said == f"cannot reach the database at 127.0.0.1:{refused}: Connection refused"


def test_a_malformed_database_url_does_not_show_its_password(tmp_path: Path) -> None:
    said = one_line(stagedoor("up", STAGEDOOR_DATA_DIR=str(tmp_path), DATABASE_URL="postgresql://shop:ses%zzame@h/x"))
    assert "DATABASE_URL is not a valid connection URL" in said
    assert "ame" not in said.split("URL:")[1]


def test_a_wrong_password_is_said(tmp_path: Path) -> None:
    """By a server that asks for one: a stand-in speaking just that much of the protocol."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"postgresql://shop:secret@127.0.0.1:{port}/x?sslmode=disable&gssencmode=disable"
        with subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "STAGEDOOR_DATA_DIR": str(tmp_path), "DATABASE_URL": url},
        ) as process:
            connection, _ = server.accept()
            connection.recv(1024)
            text = b'SFATAL\0C28P01\0Mpassword authentication failed for user "shop"\0\0'
            connection.sendall(b"E" + (len(text) + 4).to_bytes(4, "big") + text)
            connection.close()
            assert process.stderr is not None
            said = process.stderr.read()
        assert process.returncode == 2
    assert said.count("\n") == 1
    assert 'password authentication failed for user "shop"' in said
    assert "secret" not in said


def test_kafka_out_of_reach(refused: int, tmp_path: Path) -> None:
    address = f"127.0.0.1:{refused}"
    said = one_line(stagedoor("up", STAGEDOOR_DATA_DIR=str(tmp_path), KAFKA_BOOTSTRAP_SERVERS=address))
    assert said == f"cannot reach Kafka at {address}: Connection refused"


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = one_line(stagedoor("up", STAGEDOOR_DATA_DIR=str(tmp_path), STAGEDOOR_PORT=str(port)))
    assert said == f"port {port} on 127.0.0.1 is in use by another program; set STAGEDOOR_HOST or STAGEDOOR_PORT"
    assert not (tmp_path / "postgres").exists(), "nothing was started"


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be used: Not a directory" in one_line(
        stagedoor("up", STAGEDOOR_DATA_DIR=str(tmp_path / "file" / "x"))
    )


SLOW_COMMAND = """
import sys, time
import click
from cli.main import Table, run
Table.get_command = lambda *_: click.Command("slow", callback=lambda: print("go", flush=True) or time.sleep(60))
sys.exit(run(["slow"]))
"""


def test_ctrl_c_is_quiet() -> None:
    command = [sys.executable, "-c", SLOW_COMMAND]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert not said.strip()


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "up", ("cli.main:nosuch", ""))
    with pytest.raises(AttributeError):
        run(["up"])

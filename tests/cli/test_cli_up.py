"""`stagedoor up` as one process tree: real PostgreSQL and broker, stand-ins for the programs of the other rooms."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from cli.embedded.ports import free_port
from cli.running import is_alive

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("stand_in_part.py")
DRIVER = f"""
import os, sys
from cli.embedded import tree
from cli.main import run
tree.stagedoor_command = lambda name: [sys.executable, {str(STAND_IN)!r}, name]
tree.JOIN_SECONDS = float(os.environ.get("STAND_IN_PATIENCE", tree.JOIN_SECONDS))
sys.exit(run(["up"]))
"""


class Up:
    """One started `stagedoor up`."""

    def __init__(self, data_dir: Path, port: int, **environment: str) -> None:
        self.data_dir = data_dir
        self.url = f"http://127.0.0.1:{port}"
        own = {"STAGEDOOR_DATA_DIR": str(data_dir), "STAGEDOOR_PORT": str(port), "STAGEDOOR_BROKER": "builtin"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **own, **environment},
            start_new_session=True,
        )
        self.said = ""

    def ready(self) -> Up:
        """Reads what it says up to the line that it is ready."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if line == f"Stagedoor is ready: {self.url}\n":
                return self
        raise AssertionError(self.said + (self.process.stderr.read() if self.process.stderr else ""))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        out, self.errors = self.process.communicate(timeout=60)
        self.said += out
        return self.process.returncode

    def running(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.data_dir / "running.json").read_text())
        return found

    def parts(self) -> dict[str, int]:
        parts = self.running()["parts"]
        assert isinstance(parts, dict)
        return parts

    def log(self) -> list[str]:
        return (self.data_dir / "parts.log").read_text().splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts `stagedoor up` on one data folder and port; whatever the test leaves running is killed."""
    started: list[Up] = []
    port = free_port()

    def make(**environment: str) -> Up:
        started.append(Up(tmp_path / "data", port, **environment))
        return started[-1]

    yield make
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_it_says_what_it_starts_is_ready_and_ends_in_order(start, eventually) -> None:
    up = start().ready()
    # They are nice, so it may be ready before they are.
    eventually(lambda: {"relay", "worker"} <= {line.split()[0] for line in up.log() if " start " in line})
    lines = up.said.splitlines()
    begun = [line.split()[0] for line in lines if " started in " in line]
    assert begun == ["postgres", "broker", "sandbox", "relay", "worker", "api"]
    assert all(f"logs/{line.split()[0]}.log" in line for line in lines if " started in " in line)
    assert sum("broker: the one built into librdkafka" in line for line in lines) == 1
    assert list(up.parts()) == begun
    niceness = {part: os.getpriority(os.PRIO_PROCESS, pid) for part, pid in up.parts().items()}
    assert (niceness["relay"], niceness["worker"]) == (niceness["api"] + 10, niceness["api"] + 5)
    pids = up.parts().values()
    assert up.end(signal.SIGINT) == 0
    assert up.said.splitlines()[-1].startswith("Stagedoor has stopped; its data is in")
    assert [line.split()[0] for line in up.log() if line.endswith(" stop")] == ["api", "worker", "relay", "sandbox"]
    assert not any(is_alive(pid) for pid in pids)
    assert not (up.data_dir / "running.json").exists()
    assert not up.errors


def test_running_json_leads_to_the_servers(start) -> None:
    up = start().ready()
    found = up.running()
    assert found["pid"] == up.process.pid
    assert found["url"] == up.url
    assert str(found["stripe_secret_key"]).startswith("sk_test_")
    assert (up.data_dir / "running.json").stat().st_mode & 0o777 == 0o600
    assert (up.data_dir / "sandbox" / "keys.json").stat().st_mode & 0o777 == 0o600
    with psycopg.connect(str(found["database_url"])) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1")
    assert up.end() == 0
    again = start().ready()
    assert again.running()["stripe_secret_key"] == found["stripe_secret_key"]
    with psycopg.connect(str(again.running()["database_url"])) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_a_second_one_on_the_same_folder_is_refused(start) -> None:
    up = start().ready()
    second = start()
    assert second.wait() == 2
    assert (
        second.errors
        == f"stagedoor: another `stagedoor` already runs on {up.data_dir} (process {up.process.pid}, {up.url})\n"
    )
    assert up.process.poll() is None


def test_killed_parts_come_back_and_a_new_broker_is_told_to_relay_and_worker(start, eventually) -> None:
    up = start().ready()
    first = up.parts()
    os.kill(first["relay"], signal.SIGKILL)
    eventually(lambda: up.parts().get("relay") not in (None, first["relay"]))
    os.kill(first["broker"], signal.SIGKILL)
    eventually(lambda: up.parts().get("broker") not in (None, first["broker"]))
    address = up.running()["kafka_bootstrap_servers"]
    # They are started together: which of them writes its line first is open.
    eventually(lambda: {line.split()[0] for line in up.log() if line.endswith(f" {address}")} == {"relay", "worker"})
    assert up.parts()["api"] == first["api"], "orders go on"
    assert up.end() == 0
    assert "broker was ended by SIGKILL; restart in" in up.said


def test_sigkill_of_the_supervisor_ends_everything_and_the_next_start_works(start, eventually) -> None:
    up = start().ready()
    pids = up.parts()
    with psycopg.connect(str(up.running()["database_url"])) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1")
    up.end(signal.SIGKILL)
    again = start().ready()
    assert not any(is_alive(pid) for pid in pids.values())
    with psycopg.connect(str(again.running()["database_url"])) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)
    assert again.end() == 0


def test_sigkill_of_the_whole_tree_loses_nothing(start) -> None:
    up = start().ready()
    with psycopg.connect(str(up.running()["database_url"])) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1")
    for pid in (up.process.pid, *up.parts().values()):
        os.kill(pid, signal.SIGKILL)
    again = start().ready()
    with psycopg.connect(str(again.running()["database_url"])) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)
    assert again.end() == 0


@pytest.mark.long
def test_a_part_that_keeps_dying_ends_it_with_its_log_named(start) -> None:
    up = start(STAND_IN_FAILS="worker=1")
    assert up.wait() == 1
    assert up.errors.count("\n") == 1
    assert "worker does not want to" in up.errors
    assert "logs/worker.log" in up.errors
    assert "api stop" in up.log(), "the others were ended"


@pytest.mark.parametrize("code", [1, 2])
def test_a_failing_migration_ends_it_with_the_same_line_and_code(start, code: int) -> None:
    up = start(STAND_IN_FAILS=f"migrate={code}")
    assert up.wait() == code
    assert up.errors.count("\n") == 1
    assert "migrate does not want to" in up.errors


def test_several_api_processes_share_the_port_and_end_together(start, eventually) -> None:
    up = start(STAGEDOOR_API_PROCESSES="2").ready()
    assert list(up.parts())[-2:] == ["api-0", "api-1"]
    # One of them answers, so it is ready; the other one may still be starting.
    eventually(lambda: {line for line in up.log() if line.startswith("api")} >= {"api index 0", "api index 1"})
    assert up.end() == 0
    assert [line.split()[0] for line in up.log() if line.endswith(" stop")][:2] == ["api", "api"]


def test_auto_falls_back_when_the_jars_cannot_be_fetched(start, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, script in (
        ("java", "echo 'openjdk version \"21.0.1\"' >&2"),
        ("mvn", "echo '[ERROR] no network'; exit 1"),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    path, libs = f"{tools}:{os.environ['PATH']}", str(tmp_path / "no-libs")
    up = start(STAGEDOOR_BROKER="auto", PATH=path, STAGEDOOR_KAFKA_LIBS=libs).ready()
    assert "broker: the one built into librdkafka" in up.said
    assert "because Apache Kafka could not be fetched (Maven: no network" in up.said
    assert up.end() == 0
    asked = start(STAGEDOOR_BROKER="apache", PATH=path, STAGEDOOR_KAFKA_LIBS=libs)
    assert asked.wait() == 1
    assert "Maven: no network" in asked.errors


def test_it_is_ready_when_the_worker_has_joined_kafka(start) -> None:
    began = time.monotonic()
    up = start(STAND_IN_JOINS_AFTER="4").ready()
    assert time.monotonic() - began > 4
    assert "waiting for the worker to join Kafka: " in up.said
    assert up.end() == 0


def test_it_does_not_wait_for_the_worker_for_ever(start) -> None:
    up = start(STAND_IN_JOINS_AFTER="600", STAND_IN_PATIENCE="1").ready()
    assert "the worker has not joined Kafka yet: what is listed is found later, log " in up.said
    assert up.end() == 0


def test_outside_servers_are_used_and_not_started(start, tmp_path: Path) -> None:
    inner = start().ready()
    found = inner.running()
    outer = Up(
        tmp_path / "other",
        free_port(),
        DATABASE_URL=str(found["database_url"]),
        KAFKA_BOOTSTRAP_SERVERS=str(found["kafka_bootstrap_servers"]),
        STRIPE_SECRET_KEY="sk_test_1",
        STRIPE_WEBHOOK_SECRET="whsec_1",
    )
    try:
        assert list(outer.ready().parts()) == ["relay", "worker", "api"]
        assert outer.end() == 0
    finally:
        outer.process.kill()

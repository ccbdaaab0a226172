"""The program that tells the container engine whether a server answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli.embedded.ports import free_port
from tests.docker.compose_file import DOCKER, script

healthcheck = script("healthcheck")


class Pages(BaseHTTPRequestHandler):
    """Answers 200 on /healthz, 503 on /readyz, and nothing that is HTTP on /garbage."""

    def do_GET(self) -> None:
        if self.path == "/garbage":
            self.wfile.write(b"what?\r\n\r\n")
            return
        self.send_response({"/healthz": 200, "/readyz": 503}.get(self.path, 404))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Says nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, DOCKER / "healthcheck.py", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stderr.strip()


def test_a_page_that_answers_is_healthy(port: int) -> None:
    assert run(f"http://127.0.0.1:{port}/healthz") == (0, "")


def test_without_a_url_it_asks_the_api_of_the_same_container(port: int) -> None:
    assert run(STAGEDOOR_PORT=str(port), STAGEDOOR_HOST="0.0.0.0") == (0, "")
    assert healthcheck.default_url().endswith(":8080/healthz")


def test_a_proxy_in_the_environment_is_not_asked(port: int) -> None:
    assert run(f"http://127.0.0.1:{port}/healthz", http_proxy="http://127.0.0.1:1") == (0, "")


@pytest.mark.parametrize(("path", "said"), [("/readyz", "answers 503"), ("/other", "answers 404"), ("/garbage", "")])
def test_another_answer_is_not(port: int, path: str, said: str) -> None:
    code, error = run(f"http://127.0.0.1:{port}{path}")
    assert code == 1
    assert error.startswith(f"http://127.0.0.1:{port}{path}")
    assert said in error
    assert "Traceback" not in error


def test_nobody_there_is_not(port: int) -> None:
    code, error = run(f"http://127.0.0.1:{free_port()}/healthz")
    assert code == 1
    assert "refused" in error


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(healthcheck, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = healthcheck.problem(f"http://127.0.0.1:{silent.getsockname()[1]}/healthz")
    assert "timed out" in found


def test_a_heartbeat_has_to_be_fresh(tmp_path: Path, port: int) -> None:
    file = tmp_path / "heartbeat"
    heartbeat = {"STAGEDOOR_HEARTBEAT_FILE": str(file)}
    assert run(**heartbeat) == (1, f"{file}: No such file or directory")
    file.touch()
    assert run(**heartbeat) == (0, "")
    assert run(f"http://127.0.0.1:{port}/readyz", **heartbeat)[0] == 1, "what is named is asked"
    then = time.time() - healthcheck.FRESH_SECONDS - 1
    os.utime(file, (then, then))
    code, error = run(**heartbeat)
    assert code == 1
    assert re.search(r"the last heartbeat was 3\d s ago", error), error

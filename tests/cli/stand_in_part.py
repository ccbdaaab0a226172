"""A stand-in for the programs of other rooms: `stand_in_part.py NAME` does just what `stagedoor up` sees of them.

It appends `NAME start PID DATABASE_URL KAFKA` and `NAME stop` to `parts.log` in the data folder, and the API its index.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

NAME = sys.argv[1]


def note(text: str) -> None:
    with (Path(os.environ["STAGEDOOR_DATA_DIR"]) / "parts.log").open("a") as file:
        file.write(f"{NAME} {text}\n")


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


class Shared(HTTPServer):
    """Several processes listen on one port."""

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def end(_number: int, _frame: object) -> None:
    note("stop")
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
note(f"start {os.getpid()} {os.environ['DATABASE_URL']} {os.environ['KAFKA_BOOTSTRAP_SERVERS']}")
failing = os.environ.get("STAND_IN_FAILS", "").split("=")
if failing[0] == NAME:
    sys.stderr.write(f"stagedoor: {NAME} does not want to\n")
    sys.exit(int(failing[1]))
if NAME == "api":
    note(f"index {os.environ['STAGEDOOR_PROCESS_INDEX']}")
    Shared((os.environ["STAGEDOOR_HOST"], int(os.environ["STAGEDOOR_PORT"])), Ready).serve_forever()
elif NAME == "sandbox":
    base = urlsplit(os.environ["STRIPE_API_BASE"])
    HTTPServer((base.hostname or "", base.port or 0), Ready).serve_forever()
elif NAME != "migrate":
    if NAME == "worker":
        time.sleep(float(os.environ.get("STAND_IN_JOINS_AFTER", "0")))
        Path(os.environ["STAGEDOOR_HEARTBEAT_FILE"]).touch()
    signal.pause()

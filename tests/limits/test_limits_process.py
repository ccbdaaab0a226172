"""A real API process keeps the bounds of its connections, and knows its proxies."""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from aiohttp.test_utils import unused_port

from tests.api.house import settings_of
from tests.api.test_api_server import SCRIPT, process, wait_until_listening
from tests.limits.door import one_answer

FEW = "import api.connections, api.server; api.connections.MAX_CONNECTIONS = 4; api.server.MAX_PER_ADDRESS = 1\n"


def ask(port: int, source: str) -> tuple[socket.socket, bytes]:
    """A connection that stays, and what it was answered."""
    connection = socket.create_connection(("127.0.0.1", port), 5.0, (source, 0))
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    return connection, one_answer(connection)


def test_connections_are_bounded_for_each_address_but_a_proxys_and_for_all(database_url: str, tmp_path: Path) -> None:
    settings = replace(
        settings_of(database_url, tmp_path, port=unused_port(), stripe_api_base="http://127.0.0.1:1"),
        rate_limit=True,
        trusted_proxies=(ip_network("127.0.0.9"),),
    )
    with process(settings, FEW + SCRIPT) as child:
        wait_until_listening(settings.port, child)
        answers = [ask(settings.port, f"127.0.0.{last}") for last in (2, 2, 3, 9, 9, 9)]
        assert [said.split()[1] for _, said in answers] == [b"200", b"503", b"200", b"200", b"200", b"503"]
        for connection, _ in answers:
            connection.close()
        child.terminate()
        assert child.wait(10) == 0

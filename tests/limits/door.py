"""The door alone: our protocol on a real socket and the loop it runs on in production, with an application that does
little. The constants of `api.protocol` and its neighbours are read anew by every door, so a test may shorten them."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network

import uvloop
from aiohttp import web

from api import bodies
from api.addresses import Addresses
from api.connections import Connections, bound_receiving
from api.cors import Cors
from api.endpoint import edge
from api.load import Arrivals
from api.metrics import Metrics
from api.pieces import in_pieces
from api.protocol import Protocol

WAIT_SECONDS = 8.0
"""Longer than anything here takes."""


@dataclass
class Door:
    """A listening server and what it has seen."""

    port: int
    connections: Connections
    paths: list[str] = field(default_factory=list)

    def connect(self, source: str = "127.0.0.1", receive_bytes: int | None = None) -> socket.socket:
        """A connection from an address of the loopback network."""
        connection = socket.socket()
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(WAIT_SECONDS)
        connection.bind((source, 0))
        connection.connect(("127.0.0.1", self.port))
        return connection

    def exchange(self, sent: bytes) -> bytes:
        """What comes back until the other side closes."""
        with self.connect() as connection:
            connection.sendall(sent)
            return until_closed(connection)

    def await_connections(self, count: int) -> float:
        """Waits until there are so many; returns after how many seconds."""
        began = time.monotonic()
        while len(self.connections) != count:
            assert time.monotonic() - began < WAIT_SECONDS, f"{len(self.connections)} connections"
            time.sleep(0.01)
        return time.monotonic() - began


def until_closed(connection: socket.socket) -> bytes:
    """Reads to the end, however it comes."""
    received = b""
    try:
        while piece := connection.recv(65_536):
            received += piece
    except ConnectionError:
        pass
    return received


def one_answer(connection: socket.socket) -> bytes:
    """Reads a single answer, as far as its Content-Length says."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65_536)
        assert piece, f"closed after {received!r}"
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def drip_until_closed(connection: socket.socket, drip: bytes, every_seconds: float = 0.05) -> tuple[bytes, float]:
    """Sends piece after piece until the other side closes; what it said, and after how many seconds."""
    began = time.monotonic()
    said = b""
    connection.settimeout(every_seconds)
    while time.monotonic() - began < WAIT_SECONDS:
        try:
            piece = connection.recv(65_536)
            if not piece:
                return said, time.monotonic() - began
            said += piece
        except TimeoutError:
            if drip:
                try:
                    connection.sendall(drip)
                except ConnectionError:
                    return said, time.monotonic() - began
        except ConnectionError:
            return said, time.monotonic() - began
    raise AssertionError(f"still open: {said!r}")


@contextmanager
def open_door(
    *, most: int = 1_000, per_address: int | None = None, trusted: str = "", max_bodies: int = 100
) -> Iterator[Door]:
    """A server in a thread of its own, for the `with` block."""
    ready: Future[Door] = Future()
    stop: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.set_result((loop, stopped))
        networks = tuple(ip_network(network) for network in trusted.split(",") if network)
        connections = Connections(Addresses(networks), most=most, per_address=per_address)
        door = Door(0, connections)
        runner = web.AppRunner(_app(door, Arrivals(max_bodies)), shutdown_timeout=0.5)
        await runner.setup()
        server = runner.server
        assert server is not None
        listening = await loop.create_server(lambda: Protocol(server, loop, connections), "127.0.0.1", 0)
        bound_receiving(listening)
        watching = loop.create_task(connections.watch())
        door.port = listening.sockets[0].getsockname()[1]
        ready.set_result(door)
        await stopped.wait()
        listening.close()
        watching.cancel()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: uvloop.run(serve()))
    thread.start()
    loop, stopped = stop.result(WAIT_SECONDS)
    try:
        yield ready.result(WAIT_SECONDS)
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join()


def _app(door: Door, on_their_way: Arrivals) -> web.Application:
    async def small(request: web.Request) -> web.Response:
        door.paths.append(request.path)
        return web.Response(text=request.path)

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(1.0)
        return await small(request)

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=in_pieces(b"x" * int(request.match_info["bytes"])))

    async def narrow(request: web.Request) -> web.Response:
        """The kernel takes little of it, and our own buffer the rest."""
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        return web.Response(body=b"x" * 30_000)

    async def body(request: web.Request) -> web.Response:
        door.paths.append(request.path)
        return web.Response(text=str(len(await bodies.read(request, on_their_way))))

    app = web.Application(client_max_size=bodies.MAX_BODY_BYTES, middlewares=[edge(Metrics(), Cors(()))])
    app.router.add_get("/small/{number}", small)
    app.router.add_get("/smuggled", small)
    app.router.add_get("/slow", slow)
    app.router.add_get("/large/{bytes}", large)
    app.router.add_get("/narrow", narrow)
    app.router.add_post("/body", body)
    return app

"""A TCP way to PostgreSQL that goes wrong when told to: loses the answer to a COMMIT, falls silent, takes nobody in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType

from psycopg.conninfo import conninfo_to_dict

COMMITTED = re.compile(
    rb"C\x00\x00\x00\x0bCOMMIT\x00"
    rb"|log_end\x00.*D\x00\x00\x00\x1e\x00\x02\x00\x00\x00\x08.*Z\x00\x00\x00\x05I",
    re.DOTALL,
)
"""PostgreSQL's CommandComplete for a COMMIT: when it is sent, the commit is durable. Or what `append_alone` returns
where it has appended: a row of two columns of which the first is no NULL, and the end of its transaction."""

REMEMBERED_BYTES = 500
"""Of what was passed on: more than such an answer has."""

PIECE_BYTES = 65_536


class Proxy:
    """Listens on loopback, and passes everything on to a server's socket."""

    def __init__(self, database_url: str) -> None:
        info = conninfo_to_dict(database_url)
        self._socket = Path(str(info["host"])) / f".s.PGSQL.{info.get('port', 5432)}"
        self._database = info["dbname"]
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.lose = 0
        """The answers to the next so many COMMITs are lost, with their connections."""
        self.lost = 0
        self.away_after_loss = False
        """Whether nobody is taken in from the loss on."""
        self.silent_after_loss = False
        """Whether the connection is kept open instead, and nothing comes on it any more."""
        self.away = False
        """Whether new connections are closed at once."""

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    @property
    def url(self) -> str:
        """For libpq, through here."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"postgresql://postgres@127.0.0.1:{port}/{self._database}?sslmode=disable&gssencmode=disable"

    def cut(self) -> None:
        """Ends every connection there is, as a cable that is pulled and put back."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            writer.transport.abort()
            return
        async with _to(self._socket) as (server_reader, server_writer):
            self._writers |= {writer, server_writer}
            try:
                there = asyncio.create_task(_pass_on(reader, server_writer))
                with suppress(ConnectionError):
                    await self._bring_back(server_reader, writer)
                there.cancel()
            finally:
                self._writers -= {writer, server_writer}
                writer.transport.abort()

    async def _bring_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tail = b""
        while piece := await reader.read(PIECE_BYTES):
            tail = (tail + piece)[-REMEMBERED_BYTES - len(piece) :]
            if COMMITTED.search(tail):
                if self.lose:
                    self.lose -= 1
                    self.lost += 1
                    self.away = self.away_after_loss
                    if self.silent_after_loss:
                        await asyncio.Event().wait()
                    return
                tail = b""
            writer.write(piece)
            await writer.drain()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def _to(socket: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()

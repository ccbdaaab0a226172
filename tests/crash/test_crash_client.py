"""One line of a history is one request."""

from __future__ import annotations

import asyncio
import io

from crash.client import Client, Person, Wish
from crash.history import CANCEL, Recorder


async def test_a_request_whose_answer_is_cut_off_is_sent_once_and_may_have_arrived() -> None:
    """The API carries it out, is killed, and nobody listens any more: a second one would be "never sent"."""
    arrived: list[bytes] = []

    async def carry_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.readline())
        server.close()
        writer.transport.abort()

    server = await asyncio.start_server(carry_out, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}", Recorder(io.BytesIO()), seed=1)
    tried = await client.once(Person(1, "p@crash.example"), Wish(CANCEL, "DELETE", "/api/orders/1"))
    assert (len(arrived), tried.outcome) == (1, "unknown")
    again = await client.once(Person(1, "p@crash.example"), Wish(CANCEL, "DELETE", "/api/orders/1"))
    assert (len(arrived), again.outcome) == (1, "nothing")
    await client.close()

"""A small SMTP server (RFC 5321, 3207, 4954) on loopback, that answers as it is told to."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = "stagedoor", "p@ss/word"


@dataclass
class SmtpDouble:
    """What it was told, and how it answers."""

    tls: ssl.SSLContext | None = None
    offers_starttls: bool = True
    hangs: bool = False
    refuses: int | None = None
    """The status it answers every recipient with."""
    port: int = 0
    taken: list[tuple[str, str]] = field(default_factory=list)
    """Recipient and text of every letter."""
    signed_in: list[str] = field(default_factory=list)
    in_the_clear: list[str] = field(default_factory=list)
    """Commands that came before TLS."""


class _Conversation:
    """One connection: a method for each command that is more than a yes."""

    def __init__(self, double: SmtpDouble, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._double = double
        self._reader = reader
        self._writer = writer
        self._recipient = ""
        self._secure = False

    async def run(self) -> None:
        if self._double.hangs:
            await asyncio.sleep(600)
        await self._say("220 double ESMTP")
        while line := (await self._reader.readline()).decode().strip():
            verb, _, rest = line.partition(" ")
            if not self._secure:
                self._double.in_the_clear.append(verb.upper())
            answer = getattr(self, f"_{verb.lower()}", None)
            await (self._say("250 yes") if answer is None else answer(rest))
            if verb.upper() == "QUIT":
                break
        self._writer.close()

    async def _say(self, text: str) -> None:
        self._writer.write(f"{text}\r\n".encode())
        await self._writer.drain()

    async def _ehlo(self, _: str) -> None:
        await self._say("250-double")
        if self._double.offers_starttls and not self._secure:
            await self._say("250-STARTTLS")
        await self._say("250-AUTH PLAIN")
        await self._say("250 8BITMIME")

    async def _starttls(self, _: str) -> None:
        assert self._double.tls is not None
        await self._say("220 go on")
        await self._writer.start_tls(self._double.tls)
        self._secure = True

    async def _auth(self, rest: str) -> None:
        said = base64.b64decode(rest.split(" ")[1]).decode()
        self._double.signed_in.append(said)
        await self._say("235 welcome" if said == f"\0{USER}\0{PASSWORD}" else "535 no")

    async def _rcpt(self, rest: str) -> None:
        self._recipient = rest.partition(":")[2].strip("<>")
        refused = self._double.refuses
        await self._say(f"{refused} <{self._recipient}> is not taken" if refused else "250 taken")

    async def _data(self, _: str) -> None:
        await self._say("354 go on")
        text = (await self._reader.readuntil(b"\r\n.\r\n")).decode()
        self._double.taken.append((self._recipient, text))
        await self._say("250 taken")

    async def _quit(self, _: str) -> None:
        await self._say("221 bye")


@asynccontextmanager
async def smtp_double(double: SmtpDouble) -> AsyncIterator[SmtpDouble]:
    """Serves on `double.port`, or on any."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(_Conversation(double, reader, writer).run()))

    server = await asyncio.start_server(accept, "127.0.0.1", double.port)
    double.port = server.sockets[0].getsockname()[1]
    try:
        yield double
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def make_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signs itself: the file to trust it by, and a server's context with it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, both = folder / "trusted.pem", folder / "server.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    trusted.write_bytes(pem)
    both.write_bytes(private + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return trusted, context

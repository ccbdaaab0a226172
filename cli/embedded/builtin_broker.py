"""The broker that comes with librdkafka, for machines without Java: everything in memory, gone when it ends.

A partition keeps its newest 5 MiB of record batches (100,000 batches at most) and drops older ones without a word. Its
address is another one after every start: the library takes whatever port is free. It listens on 127.0.0.1 only.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from cli.embedded.console import Console, wait_until
from cli.embedded.folder import write_private
from cli.supervisor import Child, Part, stagedoor_command

READY_SECONDS = 30.0
STOP_SECONDS = 5.0
FIRST_ANSWER_SECONDS = 10.0


def part(data_dir: Path, console: Console, on_address: Callable[[str], None], *, dependents: tuple[str, ...]) -> Part:
    """The broker as a supervised process.

    Args:
        on_address: told the bootstrap address (`host:port`) after every start.
        dependents: restarted with it, because they know only its old address.
    """
    address_file = data_dir / "builtin-broker.address"
    address = ""

    def command() -> list[str]:
        address_file.unlink(missing_ok=True)
        return stagedoor_command("broker", "--address-file", str(address_file))

    def ready(child: Child) -> None:
        def attempt() -> str | None:
            child.check()
            return address_file.read_text().strip() if address_file.exists() else None

        nonlocal address
        address = wait_until(console, "waiting for the built-in broker", READY_SECONDS, attempt)
        on_address(address)

    return Part(
        name="broker",
        command=command,
        ready=ready,
        title=lambda: f"built-in broker on {address}",
        stop_seconds=STOP_SECONDS,
        dependents=dependents,
    )


def serve(address_file: Path | None) -> None:
    """Runs the broker in this process until SIGTERM or SIGINT; prints its address and writes it to `address_file`."""
    from confluent_kafka import Producer  # noqa: PLC0415 - the supervisor imports this module and needs no broker

    ended = False

    def end(_number: int, _frame: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    broker = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "", "log_level": 4})
    found = next(iter(broker.list_topics(timeout=FIRST_ANSWER_SECONDS).brokers.values()))
    bootstrap = f"{found.host}:{found.port}"
    if address_file is not None:
        write_private(address_file, bootstrap + "\n")
    print(f"the built-in broker listens on {bootstrap}; it keeps nothing when it ends", flush=True)
    while not ended:
        time.sleep(0.2)

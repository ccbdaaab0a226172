"""`stagedoor up`: the whole marketplace as one process tree."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

import click

from adapters.settings import Settings, SettingsError
from cli import running
from cli.embedded import apache_kafka, broker_choice, folder, ports, reach
from cli.embedded.console import POLL_SECONDS, Console, PartFailedError, StopRequestedError, shown, wait_until
from cli.embedded.tree import ProcessTree

PORT_WAIT_SECONDS = 5.0
"""After SIGKILL of the former `stagedoor up` its API processes may hold the port for another moment."""


@click.command()
def up() -> None:
    """Run the whole marketplace on this machine, until Ctrl-C."""
    console = Console()
    with _heard_stops(console):
        run(Settings.from_environment(), console)


def run(settings: Settings, console: Console) -> None:
    """Starts everything, keeps it running until a stop is asked for, ends everything.

    Raises:
        SettingsError: something is set up wrongly; nothing is left running.
        PartFailedError: a part does not stay up; nothing is left running.
    """
    _require_outside_servers(settings)
    folder.open_folder(settings.data_dir)
    with _locked(settings):
        _require_port(settings, console)
        running.remove(settings.data_dir)
        broker = _embedded_broker(settings)
        tree = ProcessTree(settings, console, broker)
        try:
            tree.start()
            while True:
                tree.supervisor.tick()
                console.pause(POLL_SECONDS)
        except StopRequestedError:
            pass
        finally:
            console.say("stopping …")
            tree.supervisor.stop()
            running.remove(settings.data_dir)
            console.say(f"Stagedoor has stopped; its data is in {shown(settings.data_dir)}")


def _require_outside_servers(settings: Settings) -> None:
    """What is given instead of an embedded part must be there and complete before anything is started."""
    stripe = (settings.stripe_secret_key, settings.stripe_webhook_secret)
    if (settings.stripe_secret_key or settings.stripe_api_base) and not all(stripe):
        raise SettingsError("a Stripe of your own needs both STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET")
    if settings.database_url:
        reach.require_database(settings.database_url)
    if settings.kafka_bootstrap_servers:
        reach.require_kafka(settings.kafka_bootstrap_servers)


def _embedded_broker(settings: Settings) -> broker_choice.BrokerChoice | None:
    if settings.kafka_bootstrap_servers:
        return None
    return broker_choice.choose(settings.broker, apache_kafka.libs_folder(settings.data_dir, settings.kafka_libs))


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(folder.lock_folder(settings.data_dir))
        except folder.FolderInUseError as error:
            found = running.read(settings.data_dir)
            who = f" (process {found.pid}, {found.url})" if found else ""
            raise SettingsError(f"another `stagedoor` already runs on {settings.data_dir}{who}") from error
        yield


def _require_port(settings: Settings, console: Console) -> None:
    """Raises `SettingsError` unless the API can listen where it is told to."""

    def attempt() -> bool | None:
        return True if ports.bind_problem(settings.host, settings.port) is None else None

    if running.read(settings.data_dir) is not None:  # the former one had no time to clean up
        with suppress(PartFailedError):
            wait_until(console, f"waiting for port {settings.port}", PORT_WAIT_SECONDS, attempt)
    if problem := ports.bind_problem(settings.host, settings.port):
        raise SettingsError(f"{problem}; set STAGEDOOR_HOST or STAGEDOOR_PORT")


@contextmanager
def _heard_stops(console: Console) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal ask for the end. SIGHUP stays ignored under `nohup`."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        console.stop_requested = True

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

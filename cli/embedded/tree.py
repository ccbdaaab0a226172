"""The parts of `stagedoor up` and the order in which they start; they end in the reverse order."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import replace

from adapters.settings import Settings, SettingsError, required, url_of
from cli import running
from cli.embedded import apache_kafka, builtin_broker, kafka_jars, postgres, postgres_cluster, sandbox_keys
from cli.embedded.broker_choice import BrokerChoice, fall_back
from cli.embedded.console import POLL_SECONDS, Console, PartFailedError, Progress, shown, wait_until
from cli.embedded.ports import free_port, listens
from cli.supervisor import Child, Part, Supervisor, stagedoor_command

RELAY_NICE, WORKER_NICE = 10, 5
"""When processors are short, buyers go first and read models follow a bit later; with a worker as nice as the relay
they followed by seconds. When the worker locks the log to end orders, buyers wait for it and so leave it the processor.
"""

MIGRATE_SECONDS = 600.0
READY_SECONDS = 60.0
READY_ANSWER_SECONDS = 2.0
SANDBOX_READY_SECONDS = 30.0

JOIN_SECONDS = 20.0
"""A worker joins Kafka within some seconds; with one that was killed, Kafka waits ten for it first (`streams/app.py`).
Orders are taken meanwhile, and what is listed is found after it."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Never through a proxy that the environment names: the server is on this machine."""


class ProcessTree:
    """Starts the embedded servers that the settings ask for, then the marketplace on them."""

    def __init__(self, settings: Settings, console: Console, broker: BrokerChoice | None) -> None:
        self._settings = settings
        """Gains an address with every server that is started."""
        self._console = console
        self._broker = broker
        self._joined = settings.data_dir / "worker.heartbeat"
        """Is there once the worker has joined Kafka."""
        self.supervisor = Supervisor(console, settings.data_dir / "logs", self._publish)

    @property
    def url(self) -> str:
        """Of the API, for a client on this machine."""
        return url_of(self._settings.host, self._settings.port)

    def start(self) -> None:
        """Returns when the API says that it is ready and the worker has joined Kafka, and after having said so.

        Raises:
            PartFailedError: a part did not start; the text names its log.
            SettingsError: the database or Kafka refused the schema or the topics.
            StopRequestedError: a stop was asked for meanwhile.
        """
        if self._settings.database_url is None:
            self._start_postgres()
        if self._broker is not None:
            self._start_broker(self._broker)
        if self._settings.stripe_secret_key is None:
            self._start_sandbox()
        self._migrate()
        self.supervisor.start(self._program("relay", nice=RELAY_NICE, required=self._broker is not None))
        self._joined.unlink(missing_ok=True)
        self.supervisor.start(self._worker())
        for index in range(self._settings.api_processes):
            self.supervisor.start(self._api(index))
        self._await_ready()
        self._await_worker()
        self._console.say(f"Stagedoor is ready: {self.url}")

    def _start_postgres(self) -> None:
        cluster = postgres_cluster.locate(self._settings.data_dir)
        postgres_cluster.prepare(cluster, self.supervisor, self._console)
        self.supervisor.start(postgres.part(cluster, self._console))
        self._settings = replace(self._settings, database_url=postgres.url(cluster))

    def _start_broker(self, choice: BrokerChoice) -> None:
        libs = apache_kafka.libs_folder(self._settings.data_dir, self._settings.kafka_libs)
        if choice.apache:
            try:
                kafka_jars.fetch(libs, self.supervisor, self._console)
            except PartFailedError as error:
                if choice.asked_for:
                    raise
                choice = fall_back(str(error))
        self._console.say(choice.line())
        if choice.apache:
            address = apache_kafka.prepare(self._settings.data_dir, libs, self.supervisor, self._settings.port)
            self.supervisor.start(apache_kafka.part(self._settings.data_dir, libs, address, self._console))
            self._use_broker(address)
        else:
            part = builtin_broker.part(
                self._settings.data_dir, self._console, self._use_broker, dependents=("relay", "worker")
            )
            self.supervisor.start(part)

    def _use_broker(self, address: str) -> None:
        self._settings = replace(self._settings, kafka_bootstrap_servers=address)

    def _start_sandbox(self) -> None:
        keys = sandbox_keys.load(self._settings.data_dir)
        port = free_port(self._settings.port)
        self._settings = replace(
            self._settings,
            stripe_secret_key=keys.secret_key,
            stripe_webhook_secret=self._settings.stripe_webhook_secret or keys.webhook_secret,
            stripe_api_base=f"http://127.0.0.1:{port}",
        )

        def ready(child: Child) -> None:
            def attempt() -> bool | None:
                child.check()
                return listens("127.0.0.1", port) or None

            wait_until(self._console, "waiting for the Stripe sandbox", SANDBOX_READY_SECONDS, attempt)

        title = f"Stripe sandbox on 127.0.0.1:{port}"
        self.supervisor.start(self._program("sandbox", title=lambda: title, ready=ready))

    def _migrate(self) -> None:
        part = self._program("migrate")
        code = self.supervisor.run_once(part, MIGRATE_SECONDS, lambda: "making the schema and the topics")
        if code == 0:
            return
        reason = self.supervisor.last_words("migrate").removeprefix("stagedoor: ")
        if code == 2:  # noqa: PLR2004 - used or set up wrongly, as everywhere
            raise SettingsError(reason)
        raise PartFailedError(f"the schema was not made: {reason}; log: {self.supervisor.log_of('migrate')}")

    def _worker(self) -> Part:
        return replace(
            self._program("worker", nice=WORKER_NICE, required=self._broker is not None),
            environment=lambda: replace(self._settings, heartbeat_file=self._joined).as_environment(),
        )

    def _api(self, index: int) -> Part:
        alone = self._settings.api_processes == 1
        return replace(
            self._program("api"),
            name="api" if alone else f"api-{index}",
            group="api",
            environment=lambda: replace(self._settings, process_index=index).as_environment(),
        )

    def _program(
        self,
        name: str,
        *,
        nice: int = 0,
        required: bool = True,
        title: Callable[[], str] = str,
        ready: Callable[[Child], None] | None = None,
    ) -> Part:
        """A `stagedoor` command with the settings as they are when it is started or restarted."""
        return Part(
            name=name,
            command=lambda: stagedoor_command(name),
            environment=self._environment,
            nice=nice,
            required=required,
            title=title,
            ready=ready,
        )

    def _environment(self) -> Mapping[str, str]:
        return self._settings.as_environment()

    def _publish(self, pids: dict[str, int]) -> None:
        """Tells other commands, once every address is known."""
        settings = self._settings
        if settings.database_url and settings.kafka_bootstrap_servers and settings.stripe_secret_key:
            running.write(
                settings.data_dir,
                running.Running(
                    pid=os.getpid(),
                    url=self.url,
                    database_url=settings.database_url,
                    kafka_bootstrap_servers=settings.kafka_bootstrap_servers,
                    stripe_secret_key=settings.stripe_secret_key,
                    stripe_webhook_secret=required(settings.stripe_webhook_secret, "STRIPE_WEBHOOK_SECRET"),
                    stripe_api_base=settings.stripe_api_base,
                    parts=pids,
                ),
            )

    def _await_ready(self) -> None:
        problem = self._await("waiting for the API to be ready", READY_SECONDS, self._readiness_problem)
        if problem is not None:
            log = self.supervisor.log_of(self._api(0).name)
            raise PartFailedError(f"the API is not ready after {READY_SECONDS:.0f} s: {problem}; log: {log}")

    def _await_worker(self) -> None:
        problem = self._await("waiting for the worker to join Kafka", JOIN_SECONDS, self._joining_problem)
        if problem is not None:
            log = shown(self.supervisor.log_of("worker"))
            self._console.say(f"{problem}: what is listed is found later, log {log}")

    def _await(self, what: str, limit_seconds: float, look: Callable[[], str | None]) -> str | None:
        """Keeps the parts running until `look` finds no problem, or for so long; what the problem is then."""
        progress = Progress(self._console)
        while (problem := look()) is not None and progress.seconds <= limit_seconds:
            progress.tell(what)
            self.supervisor.tick()
            self._console.pause(POLL_SECONDS)
        return problem

    def _joining_problem(self) -> str | None:
        return None if self._joined.exists() else "the worker has not joined Kafka yet"

    def _readiness_problem(self) -> str | None:
        try:
            with _direct.open(f"{self.url}/readyz", timeout=READY_ANSWER_SECONDS) as answer:
                return None if answer.status == 200 else f"status {answer.status}"  # noqa: PLR2004 - HTTP
        except urllib.error.HTTPError as error:
            return f"status {error.code}"
        except OSError as error:
            return str(getattr(error, "reason", error))

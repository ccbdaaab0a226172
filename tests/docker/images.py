"""What the three images of compose.yaml do when they start, done with this machine's programs."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from tests.docker.compose_file import DOCKER, ROOT, Service, image_environment
from tests.docker.engine import Container

START_SECONDS = 60.0


class Stagedoor(Container):
    """The project's own image: the command from the sources, with this Python."""

    def __init__(self, service: Service, address: str, folder: Path) -> None:
        super().__init__(service, address, folder)
        self.environment = {**image_environment(), "PYTHONPATH": str(ROOT)}
        # A volume at that place is one for all services that have it.
        volumes = {place: name for name, place in (text.split(":") for text in service.definition.get("volumes", ()))}
        volume = volumes.get(self.environment["STAGEDOOR_DATA_DIR"], f"{service.name}-data")
        self.environment["STAGEDOOR_DATA_DIR"] = str(folder.parent / volume)

    def prepare(self) -> None:
        # The command is the entry point; its /tmp is its own.
        if "STAGEDOOR_HEARTBEAT_FILE" in self.environment:
            self.environment["STAGEDOOR_HEARTBEAT_FILE"] = str(self.folder / "heartbeat")

    def words(self) -> list[str]:
        return [sys.executable, "-m", "cli.main", *self.command]

    def check_words(self, check: list[str]) -> list[str]:
        program, script, *rest = check
        assert (program, script) == ("python", "/opt/stagedoor/lib/healthcheck.py")
        return [sys.executable, str(DOCKER / "healthcheck.py"), *rest]


class Postgres(Container):
    """The official image: makes the cluster, runs the first-start scripts on a socket alone, then serves.

    PostgreSQL refuses to run as root; there it runs as Debian's user `postgres`, as in the container.
    """

    stop_signal = signal.SIGINT  # the image's STOPSIGNAL

    def __init__(self, service: Service, address: str, folder: Path, programs: Path) -> None:
        super().__init__(service, address, folder)
        self.programs = programs
        self.is_root = os.geteuid() == 0
        self.data, self.sockets = folder / "18" / "docker", folder / "run"

    def prepare(self) -> None:
        if self.data.exists():
            return
        self.sockets.mkdir()
        password = self.folder / "superuser-password"
        password.write_text(self.environment["POSTGRES_PASSWORD"])
        self.data.parent.mkdir()
        if self.is_root:
            for path in (self.folder, self.sockets, self.data.parent, password):
                shutil.chown(path, "postgres", "postgres")
        arguments = shlex.split(self.environment["POSTGRES_INITDB_ARGS"])
        if not self.is_root:  # the socket lets in whoever has the superuser's name, and the developer has another
            arguments = [word.replace("=peer", "=trust") for word in arguments]
        self._must("initdb", f"--pgdata={self.data}", "--username=postgres", f"--pwfile={password}", *arguments)
        password.unlink()
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")  # the image adds this line
        self._must("pg_ctl", "start", "-w", "-s", "-D", self.data, "-o", f"-c listen_addresses= -k {self.sockets}")
        for script in sorted((DOCKER / "postgres").iterdir()):
            code = self.run(["env", f"PGHOST={self.sockets}", str(script)], START_SECONDS)
            assert code == 0, self.log.read_text()
        self._must("pg_ctl", "stop", "-w", "-s", "-D", self.data, "-m", "fast")

    def words(self) -> list[str]:
        listen = f"listen_addresses={self.address}"
        return [str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.sockets), "-c", listen]

    def check_words(self, check: list[str]) -> list[str]:
        assert check[0] == "pg_isready"
        return [str(self.programs / "pg_isready"), *check[1:]]

    def popen(self, words: list[str]) -> subprocess.Popen[bytes]:
        user = "postgres" if self.is_root else None
        # Its own programs first, for the first-start scripts.
        path = f"{self.programs}:{self.environment['PATH']}"
        environment = {**self.environment, "LC_ALL": "C.UTF-8", "PATH": path}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                words, env=environment, cwd=self.folder, stdout=log, stderr=log, user=user, group=user
            )

    def _must(self, program: str, *arguments: object) -> None:
        code = self.run([str(self.programs / program), *map(str, arguments)], START_SECONDS)
        assert code == 0, f"{program}: {self.log.read_text()[-3000:]}"


class Kafka(Container):
    """Apache's image: `KafkaDockerWrapper` turns the variables into a configuration and formats the storage, then Kafka
    is started. The wrapper is the image's own, it comes with Kafka's jars."""

    TOOLS: ClassVar = {"/opt/kafka/bin/kafka-broker-api-versions.sh": "org.apache.kafka.tools.BrokerApiVersionsCommand"}

    def __init__(self, service: Service, address: str, folder: Path, libs: Path) -> None:
        super().__init__(service, address, folder)
        self.libs = libs
        self.configuration = folder / "config"

    def prepare(self) -> None:
        # Where the file puts them inside the container there is nothing on this machine.
        self.environment["KAFKA_LOG_DIRS"] = str(self.folder / "data")
        self.environment.pop("KAFKA_LOG4J_OPTS", None)
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        self.configuration.mkdir(exist_ok=True)
        setup = ["setup", "-D", str(empty), "-M", str(empty), "-F", str(self.configuration)]
        code = self.run(self._java("kafka.docker.KafkaDockerWrapper", *setup), START_SECONDS)
        assert code == 0 or "already formatted" in self.log.read_text(), self.log.read_text()[-3000:]

    def words(self) -> list[str]:
        return self._java("kafka.Kafka", str(self.configuration / "server.properties"))

    def check_words(self, check: list[str]) -> list[str]:
        return self._java(self.TOOLS[check[0]], *check[1:])

    def _java(self, *arguments: str) -> list[str]:
        options = shlex.split(self.environment["KAFKA_HEAP_OPTS"])
        return ["java", *options, "-XX:TieredStopAtLevel=1", "-cp", f"{self.libs}/*", *arguments]

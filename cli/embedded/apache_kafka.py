"""Apache Kafka in the data folder: one real broker in KRaft mode, on loopback, its data kept over restarts.

`STAGEDOOR_KAFKA_LIBS` names a folder for the jars outside the data folder, so that several data folders (tests, for
example) share one download.
"""

from __future__ import annotations

import base64
import os
import shutil
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from cli.embedded import kafka_jars
from cli.embedded.console import Console, PartFailedError, wait_until
from cli.embedded.ports import free_port, listens
from cli.supervisor import Child, Part, Supervisor

FORMAT_SECONDS = 60.0
READY_SECONDS = 120.0
"""After SIGKILL the broker reads its last segments again before it answers; a cold start takes two seconds."""

STOP_SECONDS = 30.0
ANSWER_SECONDS = 2.0

JVM = (
    "java",
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",  # one broker for one machine: least memory, quick start
    "-XX:TieredStopAtLevel=1",
    "-Dorg.apache.logging.log4j.level=WARN",
)

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
# Relative to the working folder: a comma in an absolute path would be read as two folders.
log.dirs=data
# A topic's partitions are decided in one place, never by a typing error.
auto.create.topics.enable=false
# One broker: one copy. What is lost with it is published again from the store.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A handful of consumers needs few of these, each is a set of open files.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
# Nobody waits for more members of a group.
group.initial.rebalance.delay.ms=0
# A week, and no more than 512 MiB a partition: PostgreSQL keeps everything, Kafka only carries it.
log.retention.hours=168
log.retention.bytes=536870912
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=2
"""


def libs_folder(data_dir: Path, shared: Path | None) -> Path:
    """Where the jars are: `STAGEDOOR_KAFKA_LIBS` if it is set, else in the data folder."""
    return shared or data_dir / "kafka" / "libs"


def _fresh_cluster_id() -> str:
    """A random id as Kafka writes them; one that starts with a dash would be read as an option."""
    while True:
        fresh_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not fresh_id.startswith("-"):
            return fresh_id


def prepare(data_dir: Path, libs: Path, supervisor: Supervisor, *taken: int) -> str:
    """Writes the configuration with free ports and formats the storage if it is new; returns the bootstrap address.
    The jars must be complete (`kafka_jars.fetch`). The ports `taken` are left to those who will listen there.

    Raises:
        PartFailedError: the storage could not be formatted; the text names the log.
    """
    home = data_dir / "kafka"
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    port = free_port(*taken)
    controller_port = free_port(port, *taken)
    (home / "server.properties").write_text(PROPERTIES.format(port=port, controller_port=controller_port))
    cluster_id = home / "cluster-id"  # written last: without it the storage was never used
    if not cluster_id.exists():
        shutil.rmtree(home / "data", ignore_errors=True)
        fresh_id = _fresh_cluster_id()
        words = ["kafka.tools.StorageTool", "format", "-t", fresh_id, "-c", "server.properties"]
        formatter = Part(name="kafka-format", command=lambda: _java(home, libs, *words), working_dir=home)
        if supervisor.run_once(formatter, FORMAT_SECONDS, lambda: "formatting Kafka's storage") != 0:
            reason = supervisor.last_words("kafka-format")
            raise PartFailedError(f"Kafka's storage could not be formatted: {reason}")
        cluster_id.write_text(fresh_id)
    return f"127.0.0.1:{port}"


def part(data_dir: Path, libs: Path, address: str, console: Console) -> Part:
    """The broker as a supervised process; a restart keeps its address."""
    home = data_dir / "kafka"

    def ready(child: Child) -> None:
        def attempt() -> bool | None:
            child.check()
            return _answers(address)

        wait_until(console, "waiting for Apache Kafka", READY_SECONDS, attempt)

    return Part(
        name="broker",
        command=lambda: _java(home, libs, "kafka.Kafka", "server.properties"),
        ready=ready,
        title=lambda: f"Apache Kafka {kafka_jars.KAFKA_VERSION} on {address}",
        working_dir=home,
        stop_seconds=STOP_SECONDS,
    )


def _java(home: Path, libs: Path, *arguments: str) -> list[str]:
    """java expands the star itself; the path is relative because a colon in it would be read as two folders."""
    return [*JVM, "-cp", f"{os.path.relpath(libs, home)}/*", *arguments]


def _answers(address: str) -> bool | None:
    """True when the broker takes part in its cluster, None when it does not yet."""
    host, port = address.rsplit(":", 1)
    if not listens(host, int(port)):
        return None
    try:
        found = AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=ANSWER_SECONDS)
    except KafkaException:
        return None
    return True if found.brokers else None

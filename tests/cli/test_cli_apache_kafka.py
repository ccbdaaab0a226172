"""Apache Kafka, the real one. Where CI runs (`CI=true`) a machine without Java or Maven fails, it does not skip."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka.admin import AdminClient, NewTopic

from adapters.settings import SettingsError
from cli.embedded import apache_kafka, broker_choice, kafka_jars
from cli.embedded.console import Console, PartFailedError
from cli.supervisor import Supervisor


@pytest.fixture(scope="module")
def libs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The jars, fetched once; `STAGEDOOR_KAFKA_LIBS` keeps them between test runs."""
    shared = os.environ.get("STAGEDOOR_KAFKA_LIBS")
    folder = Path(shared).resolve() if shared else tmp_path_factory.mktemp("kafka") / "libs"
    lack = kafka_jars.missing(folder)
    if lack:
        assert os.environ.get("CI") != "true", f"Apache Kafka is required where CI runs: {lack}"
        pytest.skip(f"Apache Kafka cannot run here: {lack}")
    fetcher = Supervisor(Console(), tmp_path_factory.mktemp("maven"))
    kafka_jars.fetch(folder, fetcher, Console())
    return folder


@pytest.fixture
def address(libs: Path, supervisor: Supervisor, console: Console, tmp_path: Path) -> Iterator[str]:
    """A running broker."""
    made = apache_kafka.prepare(tmp_path, libs, supervisor)
    supervisor.start(apache_kafka.part(tmp_path, libs, made, console))
    yield made
    supervisor.stop()


def make_topic(address: str, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(20)


async def produce(address: str, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def consume(address: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, group_id="readers", auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


@pytest.mark.long
async def test_data_survives_sigkill_and_the_address_stays(
    address: str, supervisor: Supervisor, tmp_path: Path, eventually
) -> None:
    make_topic(address, "tickets")
    await produce(address, "tickets", [b"1", b"2"])
    first = supervisor.pids()["broker"]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: supervisor.tick() or supervisor.pids().get("broker") not in (None, first), 60)
    assert await consume(address, "tickets", 2) == [b"1", b"2"]
    await produce(address, "tickets", [b"3"])
    assert (tmp_path / "kafka").stat().st_mode & 0o077 == 0


@pytest.mark.long
async def test_data_survives_the_next_start_with_other_ports(
    libs: Path, supervisor: Supervisor, console: Console, tmp_path: Path
) -> None:
    for round_number in (1, 2):
        address = apache_kafka.prepare(tmp_path, libs, supervisor)
        supervisor.start(apache_kafka.part(tmp_path, libs, address, console))
        if round_number == 1:
            make_topic(address, "tickets")
            await produce(address, "tickets", [b"1"])
            former = address
        else:
            assert address != former
            assert await consume(address, "tickets", 1) == [b"1"]
        supervisor.stop()


@pytest.mark.long
def test_it_listens_on_loopback_only_and_makes_no_topic_by_itself(address: str, supervisor: Supervisor) -> None:
    pid = supervisor.pids()["broker"]
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=False).stdout
    own = [line.split()[3] for line in listening.splitlines() if f"pid={pid}," in line]
    assert len(own) == 2
    assert all("127.0.0.1" in name for name in own)
    admin = AdminClient({"bootstrap.servers": address})
    admin.list_topics("mistyped", timeout=10)
    assert "mistyped" not in admin.list_topics(timeout=10).topics


@pytest.mark.long
def test_a_cut_jar_is_noticed_and_fetched_again(libs: Path, supervisor: Supervisor, console, tmp_path: Path) -> None:
    if shutil.which("mvn") is None:
        pytest.skip("the jars are here, `mvn` is not")
    copy = tmp_path / "libs"
    shutil.copytree(libs, copy)
    assert kafka_jars.complete(copy)
    jar = next(copy.glob("kafka-clients-*.jar"))
    jar.write_bytes(jar.read_bytes()[:1000])
    assert not kafka_jars.complete(copy)
    kafka_jars.fetch(copy, supervisor, console)
    assert kafka_jars.complete(copy)
    assert len(list(copy.glob("*.jar"))) == kafka_jars.JARS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["libs", "logs"], "nothing half-finished stays"


@pytest.mark.long
def test_a_half_formatted_storage_is_formatted_again(libs: Path, supervisor, console: Console, tmp_path: Path) -> None:
    (tmp_path / "kafka" / "data").mkdir(parents=True)
    (tmp_path / "kafka" / "data" / "meta.properties").write_text("version=1\n")
    address = apache_kafka.prepare(tmp_path, libs, supervisor)
    supervisor.start(apache_kafka.part(tmp_path, libs, address, console))


def fake(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def java(version: str) -> str:
    return f"echo 'openjdk version \"{version}\" 2025-04-15' >&2"


@pytest.mark.parametrize(
    ("version", "lack"),
    [("1.8.0_392", "`java` is version 8, 17 is needed"), ("17.0.15", "`mvn` is not on the PATH"), ("25", "`mvn` is")],
)
def test_what_is_missing_decides_the_broker(version: str, lack: str, tmp_path: Path, monkeypatch) -> None:
    fake(tmp_path / "bin", "java", java(version))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    choice = broker_choice.choose("auto", tmp_path / "libs")
    assert not choice.apache
    assert lack in choice.line()
    with pytest.raises(SettingsError, match=r"STAGEDOOR_BROKER=apache is not possible here: `"):
        broker_choice.choose("apache", tmp_path / "libs")
    assert "STAGEDOOR_BROKER=builtin" in broker_choice.choose("builtin", tmp_path / "libs").line()


def test_no_java_at_all(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "`java` is not on the PATH" in broker_choice.choose("auto", tmp_path / "libs").line()


def test_java_and_maven_mean_apache(tmp_path: Path, monkeypatch) -> None:
    fake(tmp_path / "bin", "java", java("21.0.1"))
    fake(tmp_path / "bin", "mvn", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    choice = broker_choice.choose("auto", tmp_path / "libs")
    assert choice.apache
    assert "`java` is version 21 and `mvn` can fetch it" in choice.line()


def test_maven_failing_says_its_reason(supervisor: Supervisor, console: Console, tmp_path: Path, monkeypatch) -> None:
    fake(tmp_path / "bin", "mvn", "echo '[ERROR] Could not transfer artifact'; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(PartFailedError, match=r"Maven: Could not transfer artifact; log: .*maven\.log"):
        kafka_jars.fetch(tmp_path / "libs", supervisor, console)
    assert not (tmp_path / "libs").exists()


def test_a_cluster_id_never_looks_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([UUID(int=0xF8 << 120), UUID(int=1)])
    monkeypatch.setattr(apache_kafka.uuid, "uuid4", lambda: next(drawn))
    assert apache_kafka._fresh_cluster_id() == "AAAAAAAAAAAAAAAAAAAAAQ"

"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import confluent_kafka

from adapters.settings import Settings
from cli.embedded import apache_kafka, broker_choice, kafka_jars, postgres_cluster

ROOT = Path(__file__).parents[1]
GIBIBYTE = 2**30


def pin_broker(settings: Settings) -> str:
    """Decides once which broker every stand of this run has, so that none falls back on the other one by itself.

    Apache Kafka's jars are shared by the stands and by `make run`. Returns the broker's name and version.

    Raises:
        SettingsError: Apache Kafka was asked for and cannot run here.
    """
    libs = apache_kafka.libs_folder(settings.data_dir, settings.kafka_libs)
    choice = broker_choice.choose(settings.broker, libs)
    os.environ["STAGEDOOR_BROKER"] = "apache" if choice.apache else "builtin"
    os.environ["STAGEDOOR_KAFKA_LIBS"] = str(libs)
    if choice.apache:
        return f"Apache Kafka {kafka_jars.KAFKA_VERSION}"
    return f"the broker built into librdkafka {confluent_kafka.libversion()[0]}"


def describe(broker: str) -> dict[str, str | int | bool]:
    """Hardware and versions, the date, and the state of the source.

    Raises:
        SettingsError: the embedded PostgreSQL is not installed.
    """
    programs = postgres_cluster.locate(ROOT / ".stagedoor").programs
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIBIBYTE),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": _said(str(programs / "postgres"), "--version").removeprefix("postgres (PostgreSQL) "),
        "broker": broker,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _said("git", "-C", str(ROOT), "rev-parse", "HEAD") or "unknown",
        "uncommitted_changes": bool(_said("git", "-C", str(ROOT), "status", "--porcelain")),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _said(*command: str) -> str:
    """The output of a command; empty if it cannot run or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""

"""Which embedded broker runs, and why, in one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adapters.settings import SettingsError
from cli.embedded import kafka_jars


@dataclass(frozen=True)
class BrokerChoice:
    """`apache` or not (then the one built into librdkafka), with the reason in words."""

    apache: bool
    reason: str
    asked_for: bool
    """Whether the setting named it; only a choice made by `auto` may fall back to the other."""

    def line(self) -> str:
        """What `stagedoor up` says about it."""
        if self.apache:
            return f"broker: Apache Kafka {kafka_jars.KAFKA_VERSION}, because {self.reason}"
        return f"broker: the one built into librdkafka, which keeps nothing when it ends, because {self.reason}"


def choose(wanted: str, libs: Path) -> BrokerChoice:
    """Decides from `STAGEDOOR_BROKER` and what this machine has.

    Raises:
        SettingsError: Apache Kafka was asked for and cannot run here.
    """
    if wanted == "builtin":
        return BrokerChoice(False, "STAGEDOOR_BROKER=builtin", True)
    lack = kafka_jars.missing(libs)
    if wanted == "apache":
        if lack:
            raise SettingsError(f"STAGEDOOR_BROKER=apache is not possible here: {lack}")
        return BrokerChoice(True, "STAGEDOOR_BROKER=apache", True)
    if lack:
        return BrokerChoice(False, lack, False)
    how = "the jars are already here" if kafka_jars.complete(libs) else "`mvn` can fetch it"
    return BrokerChoice(True, f"`java` is version {kafka_jars.java_version()} and {how}", False)


def fall_back(reason: str) -> BrokerChoice:
    """What `auto` does when the jars cannot be fetched."""
    return BrokerChoice(False, f"Apache Kafka could not be fetched ({reason})", False)

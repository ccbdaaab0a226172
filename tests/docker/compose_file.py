"""`docker/compose.yaml` and `docker/Dockerfile` as the container engine would read them: variables filled in."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE = DOCKER / "compose.yaml"

VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<how>:?[-?])(?P<rest>[^}]*))?\})")


def script(name: str) -> ModuleType:
    """A program of the docker folder, as a module. It is found by its path: `docker` is also the name of a package."""
    spec = importlib.util.spec_from_file_location(f"stagedoor_docker_{name}", DOCKER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class MissingVariableError(Exception):
    """A variable that the file requires (`${NAME:?…}`) is not set."""


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Fills in `$$`, `${NAME}`, `${NAME-default}`, `${NAME:-default}`, `${NAME?why}` and `${NAME:?why}`."""

    def fill(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        value, how = variables.get(match["name"]), match["how"] or "-"
        if value or (value is not None and ":" not in how):
            return value
        if "?" in how:
            raise MissingVariableError(f"{match['name']}: {match['rest']}")
        return match["rest"] or ""

    return VARIABLE.sub(fill, text)


@dataclass(frozen=True)
class Service:
    """One service of the file."""

    name: str
    definition: Mapping[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        """What the file sets, as the text a process would see."""
        return {key: str(value) for key, value in self.definition.get("environment", {}).items()}

    @property
    def command(self) -> list[str]:
        """Empty when the image's own command is meant."""
        return [str(word) for word in self.definition.get("command", [])]

    @property
    def dependencies(self) -> dict[str, str]:
        """Service → the condition it must meet first."""
        return {name: how["condition"] for name, how in self.definition.get("depends_on", {}).items()}

    @property
    def health_check(self) -> list[str] | None:
        """The command's words without the leading `CMD`; None when there is no check."""
        check = self.definition.get("healthcheck") or {"disable": True}
        if check.get("disable"):
            return None
        kind, *words = check["test"]
        assert kind == "CMD", "a shell in between would hide how the check ends"
        return [str(word) for word in words]

    @property
    def is_stagedoor(self) -> bool:
        """Whether it runs from the project's own image."""
        return "build" in self.definition

    @property
    def stop_seconds(self) -> float:
        """How long it may take to end before it is killed."""
        return seconds(self.definition["stop_grace_period"]) if "stop_grace_period" in self.definition else 10.0

    @property
    def memory_bytes(self) -> int:
        """The limit on its memory."""
        number, unit = re.fullmatch(r"(\d+)([mg])", self.definition["mem_limit"]).groups()  # type: ignore[union-attr]
        return int(number) << {"m": 20, "g": 30}[unit]


def seconds(text: str) -> float:
    """`90s` or `2m`, the two forms the file uses."""
    return float(text[:-1]) * {"s": 1, "m": 60}[text[-1]]


def read_services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Every service of compose.yaml, with `variables` filled in.

    Raises:
        MissingVariableError: see there.
    """
    document = script("check_compose").load(COMPOSE)
    filled = _fill(document["services"], variables)
    return {name: Service(name, definition) for name, definition in filled.items()}


def _fill(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, variables) for item in value]
    return interpolate(value, variables) if isinstance(value, str) else value


def image_environment() -> dict[str, str]:
    """The variables that the Dockerfile's last stage gives to every container, without PATH."""
    found: dict[str, str] = {}
    for name, rest in instructions():
        if name == "FROM":
            found.clear()
        elif name == "ENV":
            for pair in shlex.split(rest):
                key, _, found[key] = pair.partition("=")
    found.pop("PATH", None)
    return found


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined, comments left out."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", lines)
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]

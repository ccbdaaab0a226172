"""Checks a compose file: against the compose specification's JSON schema, and that what it refers to is there.

    python docker/check_compose.py [FILE ...]          (docker/compose.yaml when none is named)

Exit codes: 0 nothing is wrong; 1 something is, one line each on standard error with the path of the place; 2 a file
cannot be read. The schema is kept in `docker/schema/`, so the check needs neither a network nor Docker. What a schema
cannot say is checked beside it: keys written twice (YAML would silently take the last), names of services, volumes and
networks that are not declared, and waiting for the health of a service that has no health check.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import validator_for

HERE = Path(__file__).resolve().parent
SCHEMA = HERE / "schema" / "compose-spec.json"

RIGHT, WRONG, UNREADABLE = 0, 1, 2


class NotComposeError(Exception):
    """The text is not a YAML mapping without repeated keys; the message says where."""


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key written twice in one mapping. Keys of a merge (`<<`) may be overridden, as ever."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    written = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    for key in written:
        if written.count(key) > 1:
            raise NotComposeError(f"line {node.start_mark.line + 1}: the key {key!r} is written twice in one mapping")
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load(path: Path) -> dict[str, Any]:
    """The file with its anchors and merges resolved; variables (`${…}`) stay as they are written.

    Raises:
        NotComposeError: see there.
        OSError: it cannot be read.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NotComposeError(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise NotComposeError("a compose file is a mapping")
    return found


def problems(compose: dict[str, Any]) -> list[str]:
    """Everything that is wrong, each as `path: what`; empty when nothing is."""
    found = list(_against_schema(compose))
    # References are only looked at where the shape is right: otherwise one mistake would be reported twice.
    return found or list(_dangling(compose))


def _against_schema(compose: dict[str, Any]) -> Iterator[str]:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    errors = list(validator_for(schema)(schema).iter_errors(compose))
    for error in errors:
        if error.validator == "unevaluatedProperties" and any(_is_inside(other, error) for other in errors):
            continue  # a key with a wrong value counts as unknown too: the mistake is said once, at the value
        # Of a choice (`oneOf`), the branch that came nearest says what is meant.
        nearest = best_match([error])
        assert isinstance(nearest, ValidationError)
        yield f"{nearest.json_path.removeprefix('$').removeprefix('.') or 'the file'}: {nearest.message}"


def _is_inside(inner: ValidationError, outer: ValidationError) -> bool:
    place = list(outer.absolute_path)
    return len(inner.absolute_path) > len(place) and list(inner.absolute_path)[: len(place)] == place


def _dangling(compose: dict[str, Any]) -> Iterator[str]:
    services: dict[str, dict[str, Any]] = compose.get("services") or {}
    for name, service in services.items():
        at = f"services.{name}"
        for network in service.get("networks") or ():
            if network not in (compose.get("networks") or {}):
                yield f"{at}.networks: {network!r} is not declared"
        for index, volume in enumerate(service.get("volumes") or ()):
            source = _named_volume(volume)
            if source and source not in (compose.get("volumes") or {}):
                yield f"{at}.volumes[{index}]: {source!r} is not declared"
        yield from _dependencies(at, service.get("depends_on") or {}, services)


def _named_volume(volume: str | dict[str, Any]) -> str | None:
    """The name of a named volume in one entry of `volumes`; None for a folder, a tmpfs or an anonymous volume."""
    if isinstance(volume, dict):
        return volume.get("source") if volume.get("type") == "volume" else None
    source, colon, _ = volume.partition(":")
    return source if colon and not source.startswith((".", "/", "~", "$")) else None


def _dependencies(at: str, depends_on: Any, services: dict[str, dict[str, Any]]) -> Iterator[str]:
    conditions: dict[str, Any] = depends_on if isinstance(depends_on, dict) else {name: {} for name in depends_on}
    for other, how in conditions.items():
        if other not in services:
            yield f"{at}.depends_on: {other!r} is no service"
        elif how.get("condition") == "service_healthy":
            check = services[other].get("healthcheck") or {"disable": True}
            if check.get("disable") or check.get("test") in ("NONE", ["NONE"]):
                yield f"{at}.depends_on.{other}: waits for its health, but it has no health check"


def main(arguments: list[str]) -> int:
    """Checks every file and returns the exit code; the worst one counts."""
    worst = RIGHT
    for path in [Path(argument) for argument in arguments] or [HERE / "compose.yaml"]:
        try:
            found = problems(load(path))
        except NotComposeError as error:
            found = [str(error)]
        except OSError as error:
            sys.stderr.write(f"{path}: {error.strerror}\n")
            worst = UNREADABLE
            continue
        for line in found:
            sys.stderr.write(f"{path}: {line}\n")
        if found:
            worst = max(worst, WRONG)
        else:
            sys.stdout.write(f"{path}: follows the compose specification\n")
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

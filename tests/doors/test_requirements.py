"""What is installed: pinned, by its hash, from nowhere in particular, and each for a reason."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = ("runtime.txt", "dev.txt", "localstripe.txt")
ROOMS = ("adapters", "api", "cli", "data", "docker", "domain", "projections", "sandbox", "streams", "web")
"""What ships."""

_PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^ ;]+)(?: ; [^\\]+)? \\")


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return found[0].lower().replace("_", "-").replace(".", "-")


def pinned(lock: str) -> dict[str, str]:
    """Package → the lines of its entry."""
    text = (ROOT / "requirements" / lock).read_text()
    entries = [entry for entry in re.split(r"\n(?=[^ #\n])", text) if not entry.startswith("#")]
    found: dict[str, str] = {}
    for entry in entries:
        pin = _PIN.match(entry)
        assert pin is not None, entry[:80]
        # One package may stand there twice, for two versions of Python.
        found[name_of(pin["name"])] = found.get(name_of(pin["name"]), "") + entry
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_hashes(lock: str) -> None:
    packages = pinned(lock)
    assert len(packages) > 10
    for name, entry in packages.items():
        assert "--hash=sha256:" in entry, name


@pytest.mark.parametrize("lock", LOCKS)
def test_no_package_comes_from_a_place_of_its_own(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    assert not re.search(r"https?://|--(?:extra-)?index-url|--find-links|--trusted-host| @ |^-e ", text, re.MULTILINE)


def test_the_locks_are_of_what_the_project_says() -> None:
    runtime, dev = pinned("runtime.txt"), pinned("dev.txt")
    assert {name_of(one) for one in PROJECT["dependencies"]} <= set(runtime)
    assert {name_of(one) for one in PROJECT["optional-dependencies"]["dev"]} <= set(dev)
    assert set(runtime) <= set(dev)


def test_every_package_has_a_reason_or_somebody_who_needs_it() -> None:
    """A package nobody decided on comes in only behind one that was decided on, which the lock names (`# via`)."""
    decided = set(re.findall(r"`([a-z0-9-]+)`", (ROOT / "docs/decisions/0006-dependencies.md").read_text()))
    direct = {name_of(one) for one in PROJECT["dependencies"]}
    assert direct <= decided, "docs/decisions/0006-dependencies.md: say why"
    build = {name_of(one) for one in (ROOT / "requirements/build.in").read_text().split()}
    runtime = pinned("runtime.txt")
    for name, entry in runtime.items():
        behind = {name_of(one) for one in re.findall(r"#(?: via)? +([a-z][a-z0-9._-]+)", entry)} - {"via"}
        assert name in direct | build or behind & set(runtime), f"{name}: nobody needs it"


def test_every_s_rule_that_is_let_pass_says_why() -> None:
    """ruff's S rules (bandit's) are on for everything that ships; an exception stands with its reason."""
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in ruff["select"]
    assert [rule for rule in ruff["ignore"] if rule.startswith("S")] == ["S101"]
    loose = {folder for folder, rules in ruff["per-file-ignores"].items() if any(rule[0] == "S" for rule in rules)}
    assert loose == {"tests/**", "{bench,crash}/**"}, "none of them ships"
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for line in path.read_text().splitlines():
                if re.search(r"# noqa: \w*,? ?S\d{3}", line):
                    assert re.search(r"# noqa: [A-Z0-9, ]+ - \w", line), f"{path}: {line.strip()}"

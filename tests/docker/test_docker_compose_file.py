"""What compose.yaml promises: secrets elsewhere, nothing open by default, every container confined and bounded."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.docker.compose_file import (
    COMPOSE,
    DOCKER,
    ROOT,
    VARIABLE,
    MissingVariableError,
    Service,
    image_environment,
    instructions,
    interpolate,
    read_services,
)

REQUIRED = ("POSTGRES_PASSWORD", "STAGEDOOR_DB_PASSWORD", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET")
VARIABLES = dict.fromkeys(REQUIRED, "given")


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    return read_services(VARIABLES)


def test_all_parts_are_there(services: dict[str, Service]) -> None:
    assert set(services) == {"postgres", "kafka", "migrate", "api", "relay", "worker", "sandbox"}
    assert services["sandbox"].definition["profiles"] == ["sandbox"]
    for name in ("migrate", "api", "relay", "worker", "sandbox"):
        assert services[name].is_stagedoor
        assert services[name].command[0] == name


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_secret_is_refused(name: str) -> None:
    with pytest.raises(MissingVariableError, match=name):
        read_services({key: value for key, value in VARIABLES.items() if key != name})


def test_the_example_names_every_variable_and_no_value_of_a_secret() -> None:
    example = (DOCKER / ".env.example").read_text()
    offered = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    used = {match["name"] for match in VARIABLE.finditer(COMPOSE.read_text()) if match["name"]}
    assert used <= set(offered)
    assert set(offered) - used == {"COMPOSE_PROFILES"}  # read by Compose itself
    assert {offered[name] for name in REQUIRED} == {""}
    assert ".env" in (DOCKER / ".gitignore").read_text().split()


def test_no_secret_is_written_in_the_file() -> None:
    for line in COMPOSE.read_text().splitlines():
        if re.search(r"(PASSWORD|SECRET\w*): ", line):
            assert re.search(r": \$\{\w+:\?[^}]+\}$", line), line


def test_only_the_api_is_published_and_on_loopback(services: dict[str, Service]) -> None:
    published = {
        name: service.definition["ports"] for name, service in services.items() if "ports" in service.definition
    }
    assert published == {"api": ["127.0.0.1:8080:8080"]}
    assert not any(service.definition.get("network_mode") for service in services.values())


def test_servers_reach_nothing_outside(services: dict[str, Service]) -> None:
    outside = {name for name, service in services.items() if "outside" in service.definition["networks"]}
    assert outside == {"api", "worker"}  # they talk to Stripe


def test_stripe_keys_go_to_those_alone_who_use_them(services: dict[str, Service]) -> None:
    assert {name for name, s in services.items() if "STRIPE_SECRET_KEY" in s.environment} == {
        "api",
        "worker",
        "sandbox",
    }
    superuser = {name for name, service in services.items() if "POSTGRES_PASSWORD" in service.environment}
    assert superuser == {"postgres"}


@pytest.mark.parametrize("name", ["postgres", "kafka", "migrate", "api", "relay", "worker", "sandbox"])
def test_every_container_is_confined(services: dict[str, Service], name: str) -> None:
    definition = services[name].definition
    assert definition["cap_drop"] == ["ALL"]
    assert definition["read_only"] is True
    assert definition["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & set(definition)
    assert "/var/run/docker.sock" not in str(definition.get("volumes"))
    assert services[name].memory_bytes >= 256 << 20
    assert definition["pids_limit"] > 0
    assert definition["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert definition["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert definition.get("user", "") not in ("root", "0")


def test_parts_start_after_what_they_need(services: dict[str, Service]) -> None:
    assert services["migrate"].dependencies == {"postgres": "service_healthy", "kafka": "service_healthy"}
    assert services["api"].dependencies["migrate"] == "service_completed_successfully"
    # Taking an order needs PostgreSQL alone.
    assert not {"kafka", "KAFKA_BOOTSTRAP_SERVERS"} & {*services["api"].dependencies, *services["api"].environment}
    for name in ("relay", "worker"):
        assert services[name].dependencies == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "kafka": "service_healthy",
        }


def test_images_are_pinned(services: dict[str, Service]) -> None:
    for service in services.values():
        tag = service.definition["image"].partition(":")[2]
        assert tag.partition("-")[0].replace(".", "").isdigit(), service.definition["image"]


def test_data_lies_in_named_volumes(services: dict[str, Service]) -> None:
    assert "postgres-data:/var/lib/postgresql" in services["postgres"].definition["volumes"]
    kafka = services["kafka"]
    assert f"kafka-data:{kafka.environment['KAFKA_LOG_DIRS']}" in kafka.definition["volumes"]
    assert f"sandbox-data:{image_environment()['STAGEDOOR_DATA_DIR']}" in services["sandbox"].definition["volumes"]


def test_the_image_is_non_root_and_says_how_it_stops() -> None:
    stages = "".join(f"\n{name} {rest}" for name, rest in instructions()).split("\nFROM ")
    last = dict(line.split(" ", 1) for line in stages[-1].splitlines()[1:])
    assert last["USER"] == "10001:10001"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert last["ENTRYPOINT"] == '["stagedoor"]'
    assert "healthcheck.py" in last["HEALTHCHECK"]
    assert "COPY requirements" not in stages[-1]
    assert "--require-hashes" in stages[1]
    assert len(stages) == 3


def test_what_the_image_copies_is_let_through_and_is_what_the_package_has() -> None:
    copied = {rest.split()[0].strip("/") for name, rest in instructions() if name == "COPY" and rest[:2] != "--"}
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text().split("\n")
    let_through = {line[1:] for line in ignore if line.startswith("!")}
    assert copied - {"pyproject.toml"} <= let_through | {"pyproject.toml"}
    packages = re.search(r"^packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert packages is not None
    assert {name.partition(".")[0] for name in re.findall(r'"([\w.]+)"', packages[1])} <= copied


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$$x", "$x"),
        ("${A}", "a"),
        ("${MISSING}", ""),
        ("${A:-b}-${EMPTY:-c}-${EMPTY-d}-${MISSING-e}", "a-c--e"),
        ("${A:?why}", "a"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, expected: str) -> None:
    assert interpolate(text, {"A": "a", "EMPTY": ""}) == expected


def test_the_first_start_script_is_a_shell_script_without_errors() -> None:
    scripts = sorted((DOCKER / "postgres").iterdir())
    assert [path.name for path in scripts] == ["10-stagedoor.sh"]
    for path in scripts:
        assert subprocess.run(["sh", "-n", path], capture_output=True, check=False).returncode == 0
        assert path.stat().st_mode & 0o111

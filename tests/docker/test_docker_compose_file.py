"""What compose.yaml promises: secrets elsewhere, nothing open by default, every container confined and bounded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_the_house_key_is_with_those_alone_who_read_accounts(services: dict[str, Service]) -> None:
    mounted = {
        name for name, s in services.items() if "house-key:/var/lib/stagedoor" in s.definition.get("volumes", ())
    }
    assert mounted == {"migrate", "api"}
    assert image_environment()["STAGEDOOR_DATA_DIR"] == "/var/lib/stagedoor"


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
    assert len(stages) == 4


def test_what_the_image_copies_is_let_through_and_is_what_the_package_has() -> None:
    copied = {rest.split()[0].strip("/") for name, rest in instructions() if name == "COPY" and rest[:2] != "--"}
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text().split("\n")
    let_through = {line[1:] for line in ignore if line.startswith("!")}
    assert copied - {"pyproject.toml"} <= let_through | {"pyproject.toml"}
    packages = re.search(r"^packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert packages is not None
    assert {name.partition(".")[0] for name in re.findall(r'"([\w.]+)"', packages[1])} <= copied


def test_parts_without_a_port_show_a_heartbeat(services: dict[str, Service]) -> None:
    for name in ("relay", "worker"):
        assert services[name].environment["STAGEDOOR_HEARTBEAT_FILE"].startswith("/tmp/"), "all else is read-only"
        assert services[name].health_check == ["python", "/opt/stagedoor/lib/healthcheck.py"]


def test_the_client_programs_are_those_of_the_server(services: dict[str, Service]) -> None:
    defaults = dict(rest.split("=", 1) for name, rest in instructions() if name == "ARG")
    server = services["postgres"].definition["image"]
    assert defaults["POSTGRES_IMAGE"] == server
    # Their libraries meet the glibc of the image.
    assert server.rpartition("-")[2] == defaults["PYTHON_IMAGE"].rpartition("-")[2]


def test_a_backup_needs_nothing_that_the_image_leaves_out() -> None:
    (taken_out,) = (re.search(r"uninstall --yes\s+(pixel.*)", rest) for name, rest in instructions() if "pixel" in rest)
    assert taken_out is not None
    modules = {name.replace("-", "_") for name in taken_out[1].split()}
    code = (
        "import sys, importlib.abc\n"
        "class Gone(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name.partition('.')[0] in {modules!r}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Gone())\n"
        "import cli.backup.commands"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)


def test_pg_dump_runs_with_the_libraries_that_are_copied(tmp_path: Path) -> None:
    """The stage's own commands, on this machine's PostgreSQL of Debian's make."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))
    if not found:
        pytest.skip("needs PostgreSQL's packages of Debian")
    at = next(n for n, line in enumerate(instructions()) if line == ("FROM", "${POSTGRES_IMAGE} AS postgres"))
    name, commands = instructions()[at + 1]
    assert name == "RUN"
    for inside in ("/client", "/opt/postgresql"):
        commands = commands.replace(inside, str(tmp_path))
    environment = {"PATH": os.environ["PATH"], "PG_MAJOR": found[-1].parts[-3]}
    subprocess.run(["sh", "-c", commands], env=environment, check=True)
    copied = {path.name for path in (tmp_path / "lib").iterdir()}
    assert {"pg_dump", "pg_restore", "libpq.so.5"} <= copied
    assert not {"libc.so.6", "libm.so.6", "libresolv.so.2"} & copied
    for program in ("pg_dump", "pg_restore"):
        said = subprocess.run([tmp_path / "bin" / program, "--version"], capture_output=True, text=True, check=True)
        assert f"PostgreSQL) {environment['PG_MAJOR']}." in said.stdout
    # Nothing but glibc comes from elsewhere.
    linked = subprocess.run(
        ["ldd", tmp_path / "lib" / "pg_dump"],
        env={**environment, "LD_LIBRARY_PATH": str(tmp_path / "lib")},
        capture_output=True,
        text=True,
        check=True,
    )
    outside = [line.split()[0] for line in linked.stdout.splitlines() if "=> /" in line and str(tmp_path) not in line]
    assert all(re.match(r"lib(c|m|dl|rt|resolv|pthread)\.so", library) for library in outside), outside


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

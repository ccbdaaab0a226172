"""The check of compose files can fail, and says where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.compose_file import COMPOSE, DOCKER, script

BROKEN = Path(__file__).with_name("broken")
check_compose = script("check_compose")


def test_the_projects_own_file_follows_the_specification() -> None:
    done = subprocess.run([sys.executable, DOCKER / "check_compose.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unknown_key.yaml", "services.api: Unevaluated properties are not allowed ('enviroment' was unexpected)"),
        ("bad_condition.yaml", "services.api.depends_on.db.condition: 'healthy' is not one of"),
        ("bad_port.yaml", "services.api.ports[0].target: [8080] is not of type"),
        ("repeated_key.yaml", "line 5: the key 'image' is written twice in one mapping"),
        ("no_such_service.yaml", "services.api.depends_on: 'db' is no service"),
        ("no_health_check.yaml", "services.api.depends_on.db: waits for its health, but it has no health check"),
        ("no_such_volume.yaml", "services.db.volumes[0]: 'data' is not declared"),
        ("no_such_network.yaml", "services.db.networks: 'inside' is not declared"),
        ("not_yaml.yaml", "not YAML: "),
        ("a_list.yaml", "a compose file is a mapping"),
    ],
)
def test_a_mistake_is_found_and_its_place_named(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_compose.main([str(BROKEN / name)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{BROKEN / name}: {said}")


def test_every_broken_file_is_tried() -> None:
    source = Path(__file__).read_text()
    assert all(f'"{path.name}"' in source for path in BROKEN.iterdir())


def test_a_file_that_is_not_there_is_a_wrong_use(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert check_compose.main([str(tmp_path / "none.yaml"), str(COMPOSE)]) == 2
    assert "No such file" in capsys.readouterr().err


def test_merged_keys_may_be_overridden(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("x-a: &a {image: one, restart: always}\nservices:\n  s: {<<: *a, image: two}\n")
    assert check_compose.load(file)["services"]["s"] == {"image": "two", "restart": "always"}
    assert check_compose.main([str(file)]) == 0

"""Finding a running `stagedoor up`, and the settings that come from it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from adapters.settings import Settings, SettingsError, url_of
from cli import running
from cli.embedded.folder import lock_folder, open_folder
from cli.running import Running


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"STAGEDOOR_DATA_DIR": str(tmp_path)})


@pytest.fixture
def up(settings: Settings) -> Running:
    """What a `stagedoor up` in this process would have written."""
    made = Running(
        pid=os.getpid(),
        url="http://127.0.0.1:8080",
        database_url="postgresql://postgres@/stagedoor?host=/nowhere",
        kafka_bootstrap_servers="127.0.0.1:20000",
        stripe_secret_key="sk_test_up",
        stripe_webhook_secret="whsec_up",
        stripe_api_base="http://127.0.0.1:20001",
        parts={"api": 1},
    )
    open_folder(settings.data_dir)
    running.write(settings.data_dir, made)
    return made


def test_a_living_one_is_found_and_fills_what_is_open(settings: Settings, up: Running) -> None:
    with lock_folder(settings.data_dir):
        assert running.find_running(settings) == up
        resolved = running.resolve(settings)
    assert resolved.database_url == up.database_url
    assert resolved.kafka_bootstrap_servers == up.kafka_bootstrap_servers
    assert resolved.stripe_secret_key == "sk_test_up"
    assert resolved.stripe_webhook_secret == "whsec_up"
    assert resolved.stripe_api_base == "http://127.0.0.1:20001"


def test_the_environment_comes_first(settings: Settings, up: Running) -> None:
    own = replace(settings, database_url="postgresql://elsewhere/x", stripe_secret_key="sk_live_1")
    with lock_folder(settings.data_dir):
        resolved = running.resolve(own)
    assert resolved.database_url == "postgresql://elsewhere/x"
    assert resolved.kafka_bootstrap_servers == up.kafka_bootstrap_servers
    assert (resolved.stripe_secret_key, resolved.stripe_api_base) == ("sk_live_1", None), "never half of each"


def test_a_dead_one_is_not_found(settings: Settings, up: Running) -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    running.write(settings.data_dir, replace(up, pid=gone.pid))
    with lock_folder(settings.data_dir):
        assert running.find_running(settings) is None


def test_a_number_that_went_to_another_program_is_not_found(settings: Settings, up: Running) -> None:
    assert running.is_alive(up.pid)
    assert running.find_running(settings) is None, "nobody holds the data folder's lock"


def test_a_damaged_or_missing_file_is_no_running_one(settings: Settings) -> None:
    assert running.resolve(settings) == settings
    open_folder(settings.data_dir)
    (settings.data_dir / "running.json").write_text('{"pid": 1')
    assert running.find_running(settings) is None


def test_only_the_owner_can_read_it(settings: Settings, up: Running) -> None:
    assert (settings.data_dir / "running.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("tickets.example", "http://tickets.example:8080"),
    ],
)
def test_the_url_is_one_a_client_here_can_use(host: str, url: str) -> None:
    assert url_of(host, 8080) == url


def test_a_command_without_a_database_says_what_to_do(settings: Settings) -> None:
    advice = r"no database in .*start one with `stagedoor up`, or set DATABASE_URL"
    with pytest.raises(SettingsError, match=advice), running.database(settings):
        pass
    assert not (settings.data_dir / "postgres").exists()


def test_a_command_brings_the_embedded_database_when_nothing_runs(settings: Settings) -> None:
    for create in (True, False):
        with running.database(settings, create=create) as resolved:
            assert resolved.database_url is not None
            with psycopg.connect(resolved.database_url) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)


def test_settings_survive_the_way_to_a_child_process(tmp_path: Path) -> None:
    made = Settings.from_environment(
        {
            "STAGEDOOR_DATA_DIR": str(tmp_path),
            "STAGEDOOR_RATE_LIMIT": "off",
            "STAGEDOOR_CORS_ORIGINS": "http://a, http://b",
            "DATABASE_URL": "postgresql://h/x",
            "STRIPE_API_BASE": "http://127.0.0.1:1",
            "STAGEDOOR_PROCESS_INDEX": "3",
            "STAGEDOOR_KAFKA_LIBS": str(tmp_path / "libs"),
            "STAGEDOOR_HOLD_SECONDS": "60",
        }
    )
    assert Settings.from_environment(made.as_environment()) == made
    bare = Settings.from_environment({})
    assert Settings.from_environment(bare.as_environment()) == bare

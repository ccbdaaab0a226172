"""The commands that run one part in the foreground. Each imports only what its part needs."""

# ruff: noqa: PLC0415 - one broken room must not break the commands of the others

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import click

from adapters.settings import Settings, SettingsError, required, url_of
from cli import running
from cli.embedded import reach

SANDBOX_PORT = 12111
"""Where a sandbox listens that was started alone: the port Stripe's own mock server uses."""


@click.command()
def api() -> None:
    """Serve the HTTP API and the web pages."""
    settings = _settings_with_database()
    required(settings.stripe_secret_key, "STRIPE_SECRET_KEY")
    required(settings.stripe_webhook_secret, "STRIPE_WEBHOOK_SECRET")

    from api.server import run

    run(settings)


@click.command()
def relay() -> None:
    """Publish the event log to Kafka."""
    settings = _settings_with_kafka()

    from streams.relay import run

    run(settings)


@click.command()
def worker() -> None:
    """Keep the read models, expire holds, react to payments."""
    settings = _settings_with_kafka()

    from streams.worker import run

    run(settings)


@click.command()
@click.option("--host", help="Address to listen on; by default the one in STRIPE_API_BASE, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65_535), help="By default that of STRIPE_API_BASE, else 12111.")
def sandbox(host: str | None, port: int | None) -> None:
    """Run the Stripe sandbox; it sends its webhooks to the API of the settings."""
    from adapters.stripe_webhooks import EVENTS
    from cli.embedded import folder, sandbox_keys
    from sandbox.server import run

    settings = Settings.from_environment()
    folder.open_folder(settings.data_dir)
    keys = sandbox_keys.load(settings.data_dir)
    base = urlsplit(settings.stripe_api_base or "")
    run(
        host=host or base.hostname or "127.0.0.1",
        port=port or base.port or SANDBOX_PORT,
        state_path=sandbox_keys.state_path(settings.data_dir),
        secret_key=settings.stripe_secret_key or keys.secret_key,
        webhook_url=f"{url_of(settings.host, settings.port)}/api/webhooks/stripe",
        webhook_secret=settings.stripe_webhook_secret or keys.webhook_secret,
        webhook_events=EVENTS,
    )


@click.command(hidden=True)
@click.option("--address-file", type=click.Path(dir_okay=False, path_type=Path), help="Where to write its address.")
def broker(address_file: Path | None) -> None:
    """Run the broker that comes with librdkafka."""
    from cli.embedded.builtin_broker import serve

    serve(address_file)


@click.command()
def migrate() -> None:
    """Make or update the database schema and the Kafka topics."""
    with running.database(Settings.from_environment(), create=True) as settings:
        from adapters.database import migrate as migrate_schema
        from adapters.house_key import open_house_key
        from adapters.plain_accounts import seal_what_is_plain

        database_url = required(settings.database_url, "DATABASE_URL")
        migrate_schema(database_url)
        click.echo("the database schema is up to date")
        sealed = seal_what_is_plain(database_url, open_house_key(settings, for_sealing=True))
        if sealed:
            click.echo(f"{sealed:,} accounts were sealed; no plain text of them is left in the database")
        if settings.kafka_bootstrap_servers is None:
            click.echo("no Kafka is running, so no topics were made; `stagedoor up` makes them")
            return
        from streams.topics import ensure_topics

        reach.require_kafka(settings.kafka_bootstrap_servers)
        ensure_topics(settings.kafka_bootstrap_servers)
        click.echo("the Kafka topics are there")


def _settings_with_database() -> Settings:
    settings = running.resolve(Settings.from_environment())
    reach.require_database(required(settings.database_url, "DATABASE_URL"))
    return settings


def _settings_with_kafka() -> Settings:
    settings = _settings_with_database()
    if settings.kafka_bootstrap_servers is None:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS is not set, and no running `stagedoor up` was found for it")
    reach.require_kafka(settings.kafka_bootstrap_servers)
    return settings

"""compose.yaml, run by hand: its commands, variables, health checks and order of starting, on real servers over TCP.

No container engine is needed, so none is tested: see `tests/docker/engine.py` for what stands in for it. PostgreSQL is
the machine's own (`STAGEDOOR_TEST_PG_BIN` names another folder with its programs), Apache Kafka comes by Maven. Where
CI runs (`CI=true`) a machine without them fails, it does not skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.embedded import kafka_jars, postgres_cluster
from cli.embedded.console import Console
from cli.supervisor import Supervisor
from tests.docker.client import Client, eventually
from tests.docker.compose_file import read_services
from tests.docker.engine import Container, Engine, addresses
from tests.docker.images import Kafka, Postgres, Stagedoor

pytestmark = [
    pytest.mark.long,
    pytest.mark.servers,
    pytest.mark.skipif(sys.platform != "linux", reason="needs the whole of 127.0.0.0/8 on loopback"),
]

VARIABLES = {
    "POSTGRES_PASSWORD": "the super user's: @/?#%",
    "STAGEDOOR_DB_PASSWORD": "it's a \"role's\" $pass: @/?#%",
    "STRIPE_SECRET_KEY": "sk_test_of_the_compose_file",
    "STRIPE_WEBHOOK_SECRET": "whsec_of_the_compose_file",
    "STRIPE_API_BASE": "http://sandbox:12111",
    "STAGEDOOR_RATE_LIMIT": "off",
}


def need(found: object, what: str) -> None:
    """Skips, or fails where CI runs."""
    if not found:
        assert os.environ.get("CI") != "true", f"required where CI runs: {what}"
        pytest.skip(f"not on this machine: {what}")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PostgreSQL's programs: of the newest server package, else those of the wheel, which do not run as root."""
    named = os.environ.get("STAGEDOOR_TEST_PG_BIN")
    if named:
        return Path(named)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    found = [folder for folder in found if (folder / "initdb").exists()]
    if not found and os.geteuid() != 0:
        found = [postgres_cluster.locate(tmp_path_factory.mktemp("unused")).programs]
    need(found, "a PostgreSQL server (as root: that of a package, with its user `postgres`)")
    return found[-1]


@pytest.fixture(scope="module")
def libs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kafka's jars, fetched once; `STAGEDOOR_KAFKA_LIBS` keeps them between test runs."""
    shared = os.environ.get("STAGEDOOR_KAFKA_LIBS")
    folder = Path(shared).resolve() if shared else tmp_path_factory.mktemp("kafka") / "libs"
    need(not kafka_jars.missing(folder), f"Apache Kafka ({kafka_jars.missing(folder)})")
    kafka_jars.fetch(folder, Supervisor(Console(), tmp_path_factory.mktemp("maven")), Console())
    return folder


@pytest.fixture(scope="module")
def engine(programs: Path, libs: Path) -> Iterator[Engine]:
    """Everything that `docker compose --profile sandbox up` starts, running."""
    # Not pytest's folder: PostgreSQL's user may not pass through that.
    folder = Path(tempfile.mkdtemp(prefix="stagedoor-servers-"))
    folder.chmod(0o755)
    services = read_services(VARIABLES)
    made: dict[str, Container] = {}
    for (name, service), address in zip(services.items(), addresses(len(services)), strict=True):
        home = folder / name
        home.mkdir()
        if name == "postgres":
            made[name] = Postgres(service, address, home, programs)
        elif name == "kafka":
            made[name] = Kafka(service, address, home, libs)
        else:
            made[name] = Stagedoor(service, address, home)
    running = Engine(made)
    try:
        for name in ("sandbox", "api", "relay", "worker"):
            running.up(name)
        for name in ("sandbox", "api", "relay", "worker"):
            running.wait_until_healthy(name)
        yield running
    finally:
        running.down()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def nobody(engine: Engine) -> Client:
    """A client that has not signed in."""
    return Client(f"http://{engine.containers['api'].address}:8080")


@pytest.fixture(autouse=True)
def nothing_ends_by_itself(engine: Engine) -> Iterator[None]:
    """After every test all parts still run, the first processes of them."""
    yield
    engine.must_live()


def search(client: Client, title: str) -> list[dict[str, object]]:
    """What the read model says, which only Kafka and the worker can have told it."""
    words = title.replace(" ", "+")
    return list(client.must(200, "GET", f"/api/tickets?q={words}")["items"])


def test_a_ticket_is_listed_ordered_paid_and_seen_by_everybody(engine: Engine, nobody: Client) -> None:
    seller, buyer = nobody.sign_up("seller"), nobody.sign_up("buyer")
    ticket = seller.list_ticket("Seat behind the goal", quantity=5)
    eventually(lambda: search(nobody, "behind the goal"), lambda items: [item["id"] for item in items] == [ticket])
    order = buyer.order(ticket, 2)
    paid = buyer.must(201, "POST", "/api/payments", {"order_id": order, "payment_method": "pm_card_visa"})
    assert paid["status"] == "succeeded"
    orders = eventually(
        lambda: buyer.must(200, "GET", "/api/orders")["items"],
        lambda items: [item["status"] for item in items] == ["completed"],
    )
    assert orders[0]["total"] == {"amount": 5000, "currency": "EUR"}
    counts = ("available", "held", "sold")
    eventually(lambda: [search(nobody, "behind the goal")[0][count] for count in counts], lambda now: now == [3, 0, 2])


def test_the_sandbox_reaches_the_api_with_its_webhooks(engine: Engine, nobody: Client) -> None:
    seller, buyer = nobody.sign_up("seller"), nobody.sign_up("buyer")
    order = buyer.order(seller.list_ticket("Seat for a webhook", quantity=1), 1)
    intent = buyer.must(201, "POST", "/api/payments", {"order_id": order})
    sandbox = Client(f"http://{engine.containers['sandbox'].address}:12111", VARIABLES["STRIPE_SECRET_KEY"])
    # As Stripe.js would in the buyer's browser: the marketplace hears of it by the webhook alone.
    confirm = f"/v1/payment_intents/{intent['payment_intent_id']}/confirm"
    assert sandbox.post_form(confirm, payment_method="pm_card_visa") == 200
    eventually(lambda: buyer.must(200, "GET", f"/api/orders/{order}")["status"], lambda status: status == "completed")


def test_a_hold_that_nobody_pays_expires(nobody: Client) -> None:
    seller, buyer = nobody.sign_up("seller"), nobody.sign_up("buyer")
    order = buyer.order(seller.list_ticket("Seat for a second", quantity=1, hold_seconds=1), 1)
    eventually(lambda: buyer.must(200, "GET", f"/api/orders/{order}")["status"], lambda status: status == "expired")
    eventually(lambda: search(nobody, "for a second")[0]["available"], lambda available: available == 1)


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    migrate = engine.containers["migrate"]
    assert migrate.run(migrate.words(), 60) == 0


def test_stagedoors_role_is_no_superuser(engine: Engine) -> None:
    import psycopg

    api = engine.containers["api"].environment
    with psycopg.connect(api["DATABASE_URL"], password=api["PGPASSWORD"]) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
        )
        assert row.fetchone() == (False, False, False)


def test_a_wrong_password_is_one_clear_line_without_it(engine: Engine) -> None:
    migrate = engine.containers["migrate"]
    done = subprocess.run(
        migrate.words(),
        env={**migrate.environment, "PGPASSWORD": "not-the-password"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "password authentication failed" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "not-the-password" not in done.stderr


@pytest.mark.parametrize("name", ["migrate", "api", "relay", "worker", "sandbox"])
def test_memory_stays_under_half_the_limit(engine: Engine, name: str) -> None:
    container = engine.containers[name]
    if container.process is not None and container.process.poll() is None:
        container.note_memory()
    assert 0 < container.most_memory_bytes < container.service.memory_bytes / 2


@pytest.mark.long
def test_each_part_ends_cleanly_and_the_marketplace_is_there_again_afterwards(engine: Engine, nobody: Client) -> None:
    seller = nobody.sign_up("seller")
    ticket = seller.list_ticket("Seat after the break", quantity=1)
    everything = ("worker", "relay", "api", "sandbox", "kafka", "postgres")
    codes = {name: engine.stop(name) for name in everything}
    assert codes == {**dict.fromkeys(everything, 0), "kafka": 143}  # a JVM ends so at SIGTERM
    engine.containers["migrate"].process = None
    for name in ("sandbox", "api", "relay", "worker"):
        engine.up(name)
    engine.wait_until_healthy("api")
    eventually(lambda: search(nobody, "after the break"), lambda items: [item["id"] for item in items] == [ticket])
    assert seller.must(200, "GET", f"/api/tickets/{ticket}")["available"] == 1

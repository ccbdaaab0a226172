"""Whether outside servers can be reached, said in one line without secrets."""

from __future__ import annotations

import re
import socket
import sys

from adapters.settings import SettingsError

CONNECT_SECONDS = 5.0


def require_database(database_url: str) -> None:
    """Connects once.

    Raises:
        SettingsError: it is not a connection URL, or nothing that lets us in answers there.
    """
    import psycopg  # noqa: PLC0415 - a command that only explains an error need not load it

    try:
        psycopg.connect(database_url, connect_timeout=int(CONNECT_SECONDS)).close()
    except psycopg.OperationalError as error:
        raise SettingsError(unreachable_database(database_url, error)) from error
    except psycopg.ProgrammingError as error:
        # What libpq quotes can be a piece of the password.
        reason = re.sub(r'"[^"]*"', '"…"', _one_line(str(error)))
        raise SettingsError(f"DATABASE_URL is not a valid connection URL: {reason}") from None


def require_kafka(bootstrap_servers: str) -> None:
    """Opens a connection to one of the servers.

    Raises:
        SettingsError: the list is malformed, or none of them accepts a connection.
    """
    problem = "no server is named"
    for server in (name.strip() for name in bootstrap_servers.split(",") if name.strip()):
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit():
            raise SettingsError(f"KAFKA_BOOTSTRAP_SERVERS={bootstrap_servers!r}: expected host:port[,host:port…]")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            problem = f"{server}: {getattr(error, 'strerror', None) or error}"
        else:
            return
    raise SettingsError(f"cannot reach Kafka at {problem}")


def unreachable_database(database_url: str | None, error: BaseException) -> str:
    """`cannot reach the database at host:port: reason`."""
    return f"cannot reach the database at {_place(database_url)}: {_reason(str(error))}"


def explain(error: BaseException, database_url: str | None, bootstrap_servers: str | None) -> str | None:
    """The line for an error that comes from a server out of reach; None if it comes from anything else.

    It looks along the causes, because libraries wrap their drivers' errors, and asks only for modules that are loaded.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if _is_lost_database(link):
            return unreachable_database(database_url, link)
        if _is_lost_kafka(link):
            return f"cannot reach Kafka at {bootstrap_servers or 'the configured servers'}: {_one_line(str(link))}"
        link = link.__cause__ or link.__context__
    return None


def _is_lost_database(error: BaseException) -> bool:
    psycopg = sys.modules.get("psycopg")
    if psycopg is None or not isinstance(error, psycopg.OperationalError):
        return False
    # Without a state the connection failed; 08 connection, 28 authorization, 3D no such database, 57P shutdown.
    state = getattr(error, "sqlstate", None)
    return state is None or state.startswith(("08", "28", "3D", "57P"))


def _is_lost_kafka(error: BaseException) -> bool:
    errors = sys.modules.get("aiokafka.errors")
    return errors is not None and isinstance(error, (errors.KafkaConnectionError, errors.NoBrokersAvailable))


def _place(database_url: str | None) -> str:
    from psycopg import Error, conninfo  # noqa: PLC0415

    if database_url is None:
        return "the embedded PostgreSQL"
    try:
        found = conninfo.conninfo_to_dict(database_url)
    except Error:
        return "DATABASE_URL"
    host = str(found.get("host") or found.get("hostaddr") or "the default socket")
    return host if host.startswith("/") else f"{host}:{found.get('port') or 5432}"


def _reason(text: str) -> str:
    """The last reason in libpq's text, which repeats one for every address it tried."""
    at = text.rfind("failed: ")
    return _one_line(text[at + len("failed: ") :] if at >= 0 else text)


def _one_line(text: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    return re.sub(r"://[^\s@/]*:[^\s]*@", "://***@", re.sub(r"\s+", " ", first))

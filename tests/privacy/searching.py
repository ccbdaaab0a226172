"""Looks for somebody everywhere: in every table, in a dump of the database, in files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from cli.backup.programs import find

NAME, EMAIL, PASSWORD = "Zebedee Quillfeather", "Z.Quillfeather@Privacy.Example", "mumbling gherkin 7"
"""Somebody whose name is found nowhere by chance."""

NEEDLE = "quillfeather"
"""In both, whatever becomes of their case."""

_COLUMNS = (
    "SELECT table_schema, table_name, column_name FROM information_schema.columns"
    " JOIN information_schema.tables USING (table_schema, table_name)"
    " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
    " AND data_type IN ('text', 'character varying', 'bytea', 'json', 'jsonb', 'tsvector', 'ARRAY', 'USER-DEFINED')"
)


def stored(database_url: str) -> Iterator[tuple[str, bytes]]:
    """Every text and every byte string in every table, and in which column."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for schema, table, column in connection.execute(_COLUMNS).fetchall():
            query = SQL("SELECT {column} FROM {schema}.{table} WHERE {column} IS NOT NULL")
            names = {"schema": Identifier(schema), "table": Identifier(table), "column": Identifier(column)}
            for (value,) in connection.execute(query.format(**names)):
                yield f"{table}.{column}", value if isinstance(value, bytes) else str(value).encode()


def columns_with(database_url: str, needle: str = NEEDLE) -> set[str]:
    """The columns in which somebody is found."""
    return {column for column, value in stored(database_url) if needle.encode() in value.lower()}


def dump(database_url: str, data_dir: Path) -> str:
    """What pg_dump writes, in lower case."""
    place = conninfo_to_dict(database_url)
    program = find(data_dir, 18).pg_dump
    done = subprocess.run(
        [str(program), f"--dbname={make_conninfo('', **place)}"], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.lower()


def is_in(text: str, needle: str = NEEDLE) -> bool:
    """Whether somebody is in a dump: as text or as bytes in hexadecimal, in any of the ways to write them."""
    written = [needle.lower(), needle.capitalize(), needle.upper()]
    return needle.lower() in text or any(way.encode().hex() in text for way in written)

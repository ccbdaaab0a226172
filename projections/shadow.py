"""Shadow tables: a read model is built anew beside the live one, under the same name in another schema, then swapped.

A shadow has the live table's columns, indexes, storage settings and rights, taken from the catalogue, so that
migrations are written once and a swap leaves no trace of it. Nothing may depend on a read model's table (no view, no
foreign key): the swap would have to take it along.
"""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier

SCHEMA = "rebuild"

_COPIED = SQL("INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS")
_OPTIONS = "SELECT unnest(reloptions) FROM pg_class WHERE oid = to_regclass(%s)"
_PRIMARY_KEY = (
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype = 'p'"
)
_INDEXES = (
    "SELECT replace(pg_get_indexdef(indexrelid), format(' ON %%I.%%I ', current_schema(), %s::text),"
    " format(' ON %%I.%%I ', %s::text, %s::text)) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE indrelid = to_regclass(%s) AND NOT indisprimary"
    " AND to_regclass(format('%%I.%%I', %s::text, relname)) IS NULL ORDER BY relname"
)
_RIGHTS = (
    "SELECT format('GRANT %%s ON %%I.%%I TO %%s', privilege_type, %s::text, relname,"
    " CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END)"
    " FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = to_regclass(%s) AND grantee <> relowner"
)


async def create(connection: AsyncConnection[Any], table: str) -> None:
    """Makes an empty shadow with the primary key alone, which continuing an aggregate needs; an old one is dropped."""
    shadow = Identifier(SCHEMA, table)
    async with connection.transaction():
        await connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(SCHEMA)))
        await connection.execute(SQL("DROP TABLE IF EXISTS {}").format(shadow))
        copied = SQL(
            "INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMMENTS INCLUDING CONSTRAINTS"
        )
        await connection.execute(SQL("CREATE TABLE {} (LIKE {} {})").format(shadow, Identifier(table), copied))
        for (option,) in await _all(connection, _OPTIONS, (table,)):
            await connection.execute(SQL("ALTER TABLE {} SET ({})").format(shadow, SQL(option)))
        for name, definition in await _all(connection, _PRIMARY_KEY, (table,)):
            constraint = SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(shadow, Identifier(name), SQL(definition))
            await connection.execute(constraint)


async def finish(connection: AsyncConnection[Any], table: str) -> None:
    """Gives a filled shadow the live table's other indexes and rights; made at once, an index costs least.

    What it has already stays: one that was interrupted goes on with the next index.
    """
    for (statement,) in await _all(connection, _INDEXES, (table, SCHEMA, table, table, SCHEMA)):
        async with connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")  # an index over millions of rows takes its time
            await connection.execute(SQL(statement))
    async with connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        for (statement,) in await _all(connection, _RIGHTS, (SCHEMA, table)):
            await connection.execute(SQL(statement))
        await connection.execute(SQL("ANALYZE {}").format(Identifier(SCHEMA, table)))


async def swap(connection: AsyncConnection[Any], table: str) -> None:
    """Puts the shadow in the live table's place; to be called in a transaction, readers see it from its commit on."""
    await connection.execute(SQL("DROP TABLE {}").format(Identifier(table)))
    await connection.execute(SQL("ALTER TABLE {} SET SCHEMA public").format(Identifier(SCHEMA, table)))


async def drop(connection: AsyncConnection[Any], table: str) -> None:
    """Leaves nothing of a shadow that was not swapped."""
    await connection.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier(SCHEMA, table)))


async def _all(connection: AsyncConnection[Any], query: str, parameters: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, parameters)).fetchall()

"""Rows from one database into another, of the same kind or not.

A copy is always an SQLite file at the schema of its source, so that one format serves both databases, and a server that
outgrows SQLite moves to PostgreSQL with a backup and a restore.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import sqlalchemy as sa

_BATCH = 500  # rows


def write_copy(connection: sa.Connection, path: Path, build: Callable[[sa.Connection], None]) -> None:
    """Write a database into a new SQLite file, which `build` gives the tables; the file appears when it is whole."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    engine = sa.create_engine(f"sqlite:///{partial}")
    try:
        with engine.begin() as copy:
            build(copy)
            into = {table.name: table for table in reflect(copy)}
            # Only what its schema says that it has, should there be more.
            copy_rows(connection, [table for table in reflect(connection) if table.name in into], copy, into)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        engine.dispose()
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(path)


def reflect(connection: sa.Connection) -> list[sa.Table]:
    """Our tables as a database has them, those that others refer to first; not those that follow from others."""
    found = sa.MetaData()
    found.reflect(connection, only=lambda name, _: not name.startswith("search_"))
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def copy_rows(
    source: sa.Connection, tables: Iterable[sa.Table], target: sa.Connection, into: dict[str, sa.Table]
) -> dict[str, int]:
    """Add all rows of some tables to those of the same names; returns how many by table.

    The audit log can only grow: what it has already is not added again.
    """
    counts = {}
    for table in tables:
        counts[table.name], columns = 0, [column for column in table.c if column.name in into[table.name].c]
        # Of messages, those that are answered come before the answers that refer to them.
        order = [table.c.position] if "position" in table.c else list(table.primary_key)
        known = set(target.scalars(sa.select(into[table.name].c.id))) if table.name == "audit" else ()
        for rows in source.execute(sa.select(*columns).order_by(*order)).mappings().partitions(_BATCH):
            new = [dict(row) for row in rows if not known or row["id"] not in known]
            if new:
                target.execute(into[table.name].insert(), new)
            counts[table.name] += len(new)
    return counts

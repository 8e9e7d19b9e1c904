"""Copies of the whole database, and putting one back."""

import asyncio
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from bise.errors import InputError
from bise.store.audit import COMMAND_LINE, Actor, record
from bise.store.copying import copy_rows, write_copy
from bise.store.database import Database, open_database
from bise.store.migrating import revisions, upgrade
from bise.store.sqlite import copy_file
from bise.store.tables import audit, metadata


async def back_up(database: Database, path: Path) -> None:
    """Copy a database as it is at one moment into a new SQLite file; a server may go on meanwhile.

    Raises:
        InputError: there is something at that path, or its directory is missing.
    """
    await asyncio.to_thread(_check_place, path)
    if database.url.get_backend_name() == "sqlite":
        await asyncio.to_thread(copy_file, Path(str(database.url.database)), path)
        return
    newest, _ = revisions()
    async with database.read() as connection:
        await connection.run_sync(write_copy, path, lambda copy: upgrade(copy, newest))


async def restore(database: Database, path: Path, actor: Actor = COMMAND_LINE) -> dict[str, int]:
    """Put what a backup holds in the place of everything that a database holds; returns the rows by table.

    It happens whole or not at all. Only the audit log keeps what it had, with what the backup's knows besides.

    Raises:
        InputError: the file is no backup of ours, is damaged, or was written by a newer Bise.
    """
    await asyncio.to_thread(_check, path)
    with tempfile.TemporaryDirectory(prefix="bise-restore-") as directory:
        copy = Path(directory) / "copy.db"  # brought up to date; the backup itself stays as it is
        await asyncio.to_thread(shutil.copyfile, path, copy)
        await (await open_database(f"sqlite:///{copy}")).close()
        async with database.write() as connection:
            rows = await connection.run_sync(_replace, copy)
            await record(connection, actor, "database.restore", "database", file=path.name)
    database.accounts_changed()
    return rows


def _check_place(path: Path) -> None:
    if path.exists():
        raise InputError(f"There is a file at {path} already. Name another: a backup never replaces anything.")
    if not path.parent.is_dir():
        raise InputError(f"There is no directory {path.parent}. Make it first, or name another.")


def _check(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"There is no file {path}. Give one that `bise admin backup` wrote, or a *.backup file.")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            ours = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    except sqlite3.DatabaseError as error:
        state, ours = str(error), None
    if state != "ok" or ours is None:
        reason = "it holds no database of Bise" if state == "ok" else state
        raise InputError(f"{path} cannot be put back ({reason}). Nothing was changed. Give another backup.")


def _replace(connection: sa.Connection, copy: Path) -> dict[str, int]:
    for table in reversed(metadata.sorted_tables):
        if table is not audit:
            connection.execute(table.delete())
    engine = sa.create_engine(f"sqlite:///{copy}")
    try:
        with engine.connect() as source:
            return copy_rows(source, metadata.sorted_tables, connection, dict(metadata.tables))
    finally:
        engine.dispose()

"""What SQLite needs: a file for its owner alone, a write-ahead log, and locks taken when transactions begin."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from bise.errors import UnavailableError

LOCK_WAIT_S = 30  # another process may be migrating


def make_file(url: sa.URL) -> None:
    """Make the file of a database, and its directory, unless they are there.

    Raises:
        UnavailableError: they cannot be made.
    """
    assert url.database, "SQLite databases live in a file"
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)  # what people write is for nobody else on this machine
    except OSError as error:
        raise UnavailableError(
            f"The database {path} could not be made: {error.strerror}. Set BISE_HOME to a directory you may write to."
        ) from None


def copy_file(source: Path, target: Path) -> None:
    """Copy a database that others may be writing to, as it is at one moment; the copy appears when it is whole."""
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(partial)) as new:
        old.backup(new)
    partial.replace(target)


def prepare_sqlite(engine: AsyncEngine) -> None:
    """Set up every connection that an engine makes."""

    @sa.event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
        # The driver's own transactions begin too late for DDL and for locks; `on_begin` begins them instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_S * 1000}")
        _use_write_ahead_log(cursor)
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten, not only given up
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("bise_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def empty_write_ahead_log(connection: sa.Connection, rewrite: bool) -> None:
    """Bring the write-ahead log into the database and empty it: it holds earlier states of what was changed."""
    driver: Any = connection.connection.dbapi_connection
    cursor = driver.cursor()
    if rewrite:
        cursor.execute("VACUUM")
    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    cursor.close()


def _use_write_ahead_log(cursor: sa.engine.interfaces.DBAPICursor) -> None:
    """Switch a new file to its write-ahead log; SQLite does not wait for others who are doing the same, so we do."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise

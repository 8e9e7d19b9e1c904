"""Opening the database: connections, transactions, migrations.

SQLite (write-ahead log) by default. Reads run beside one write at a time: `write()` takes SQLite's write lock at its
start, so that what it reads is still true when it writes. The migrations in `migrations/` run at every opening, under
that same lock; before they change a database that holds anything, it is copied beside itself.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from importlib.resources import files
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bise.config import home
from bise.errors import BiseError, InputError, UnavailableError
from bise.store.tables import now

_LOCK_WAIT_S = 30  # another process may be migrating


class Database:
    """A database at the newest schema; the only maker of connections.

    Raises:
        UnavailableError: from `read` and `write`, when the database is away, locked or full.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._reader = engine
        self._writer = engine.execution_options(bise_write=True)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees one state of the database."""
        with _in_words(self._reader.url):
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that alone may write; committed at the end, undone when the block raises."""
        with _in_words(self._writer.url):
            async with self._writer.begin() as connection:
                yield connection

    async def close(self) -> None:
        """Let go of all connections."""
        await self._reader.dispose()


async def open_database(url: str | None = None) -> Database:
    """Open the database at an SQLAlchemy URL, by default `bise.db` below `config.home()`, and bring it up to date.

    Raises:
        InputError: the database is damaged, or was written by a newer Bise.
        UnavailableError: it cannot be opened, for example for want of rights or space.
    """
    address = sa.make_url(url or default_url())
    if address.get_backend_name() == "sqlite":
        _make_file(address)
    engine = create_async_engine(address)
    if address.get_backend_name() == "sqlite":
        _prepare_sqlite(engine)
    database = Database(engine)
    try:
        with _in_words(address):
            await _migrate(engine)
    except BaseException:
        await database.close()
        raise
    return database


def default_url() -> str:
    """Where the database is when nothing else is said."""
    return f"sqlite+aiosqlite:///{home() / 'bise.db'}"


async def _migrate(engine: AsyncEngine) -> None:
    async with engine.execution_options(bise_write=True).begin() as connection:
        found = await connection.run_sync(_revision)
        newest, known = _revisions()
        if found == newest:
            return
        if found is not None and found not in known:
            raise InputError(
                f"The database {_place(engine.url)} was written by a newer Bise (its schema is {found}, this Bise knows "
                f"{', '.join(sorted(known))}). Update with: pip install -U bise."
            )
        if engine.dialect.name == "sqlite" and await connection.run_sync(_has_tables):
            await asyncio.to_thread(_back_up, engine.url, found)
        await connection.run_sync(_upgrade)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def _has_tables(connection: sa.Connection) -> bool:
    return bool(sa.inspect(connection).get_table_names())


def _revisions() -> tuple[str, set[str]]:
    """The newest revision and all, from the names of their files: Alembic itself is slow to import."""
    names = (Path(entry.name) for entry in (files("bise.store") / "migrations" / "versions").iterdir())
    known = {name.stem[1:5] for name in names if name.suffix == ".py" and name.stem.startswith("v")}
    return max(known), known


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("bise.store") / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _back_up(url: sa.URL, revision: str | None) -> None:
    assert url.database is not None
    source = Path(url.database)
    copy = source.with_name(f"{source.name}.{now():%Y%m%d-%H%M%S}.{revision or 'unknown'}.backup")
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(copy)) as new:
        old.backup(new)


@contextmanager
def _in_words(url: sa.URL) -> Iterator[None]:
    """Say what is wrong with the database itself; mistakes in our own statements stay what they are."""
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.ProgrammingError):
        raise
    except (sa.exc.DBAPIError, sqlite3.Error, OSError) as error:
        raise _explain(url, str(getattr(error, "orig", error))) from error


def _explain(url: sa.URL, reason: str) -> BiseError:
    place = _place(url)
    if "not a database" in reason or "malformed" in reason:
        return InputError(
            f"The database {place} is damaged ({reason}). Put one of the *.backup files beside it in its place, "
            "or move it away to begin with an empty one."
        )
    return UnavailableError(
        f"The database {place} cannot be used now ({reason}). See that its directory exists, may be written to and has "
        "space left, and that no other program holds it, then try again."
    )


def _place(url: sa.URL) -> str:
    return url.render_as_string(hide_password=True) if url.get_backend_name() != "sqlite" else str(url.database)


def _make_file(url: sa.URL) -> None:
    assert url.database, "SQLite databases live in a file"
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)  # what people write is for nobody else on this machine
    except OSError as error:
        raise UnavailableError(
            f"The database {path} could not be made: {error.strerror}. Set BISE_HOME to a directory you may write to."
        ) from None


def _prepare_sqlite(engine: AsyncEngine) -> None:
    @sa.event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
        # The driver's own transactions begin too late for DDL and for locks; `on_begin` begins them instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_LOCK_WAIT_S * 1000}")
        _use_write_ahead_log(cursor)
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("bise_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _use_write_ahead_log(cursor: sa.engine.interfaces.DBAPICursor) -> None:
    """Switch a new file to its write-ahead log; SQLite does not wait for others who are doing the same, so we do."""
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise

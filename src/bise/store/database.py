"""Opening the database: connections and transactions, the same on SQLite and on PostgreSQL.

Reads see one state of the database. Writes go one at a time, so that what one reads is still true when it writes: SQLite
takes its write lock at the transaction's start, PostgreSQL a lock of ours. Migrations run at every opening under that
same lock (`migrating.py`). What one of the two databases needs alone is in `sqlite.py` and `postgres.py`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bise.config import database_url, home
from bise.errors import BiseError, InputError, UnavailableError
from bise.store.migrating import migrate
from bise.store.postgres import prepare_postgres
from bise.store.sqlite import empty_write_ahead_log, make_file, prepare_sqlite

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",  # as hosting services write it
}
_NOT_ALLOWED = "42501"  # PostgreSQL's code for want of rights


class Database:
    """A database at the newest schema; the only maker of connections.

    Raises:
        UnavailableError: from `read` and `write`, when the database is away, locked or full.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.url = engine.url
        self.num_account_changes = 0  # by this process: what was looked up before may not be true any more
        self._users: list[Callable[[], Awaitable[None]]] = []
        self._reader = _reading(engine)
        self._writer = engine.execution_options(bise_write=True)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that sees one state of the database."""
        with _in_words(self.url):
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that alone may write; committed at the end, undone when the block raises."""
        with _in_words(self.url):
            async with self._writer.begin() as connection:
                yield connection

    async def clear_traces(self, *, rewrite: bool = False) -> None:
        """Let nothing of what was erased stay in files beside the database; what readers still hold stays until later.

        `rewrite` also writes the database anew: it may have pages that an earlier Bise gave up and did not overwrite.
        """
        if self.url.get_backend_name() == "sqlite":
            async with self._reader.connect() as connection:
                await connection.run_sync(empty_write_ahead_log, rewrite)

    def accounts_changed(self) -> None:
        """Say that users, keys, projects or limits are not what they were; called after the commit."""
        self.num_account_changes += 1

    def before_close(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Stop something that uses the database before it closes."""
        self._users.append(stop)

    async def close(self) -> None:
        """Stop what uses it, and let go of all connections."""
        for stop in self._users:
            await stop()
        await self._reader.dispose()


async def open_database(url: str | None = None) -> Database:
    """Open the database at a URL, by default as `default_url` says, and bring it up to date.

    Raises:
        InputError: the URL is none of ours, the database is damaged, or was written by a newer Bise.
        UnavailableError: it cannot be opened, for example for want of rights or space.
    """
    address = read_url(url or default_url())
    if address.get_backend_name() == "sqlite":
        make_file(address)
    engine = _connect(address)
    database = Database(engine)
    try:
        with _in_words(address):
            await migrate(engine)
    except BaseException:
        await database.close()
        raise
    return database


def default_url() -> str:
    """Where the database is when nothing else is said: `BISE_DATABASE`, else `bise.db` in the home directory."""
    return database_url() or f"sqlite+aiosqlite:///{home() / 'bise.db'}"


def read_url(text: str) -> sa.URL:
    """Read a database's URL, with the driver that we use.

    Raises:
        InputError: it is none, or of another kind of database.
    """
    advice = "Write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME."
    try:
        address = sa.make_url(text)
    except sa.exc.ArgumentError:
        raise InputError(f"The database's address is not a URL. {advice}") from None
    driver = _DRIVERS.get(address.get_backend_name())
    if driver is None or (driver == "sqlite+aiosqlite" and not address.database):
        raise InputError(f"The database's address begins with {address.drivername}, but must be another. {advice}")
    return address.set(drivername=driver)


def _connect(address: sa.URL) -> AsyncEngine:
    try:
        engine = create_async_engine(address, pool_pre_ping=address.get_backend_name() == "postgresql")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"PostgreSQL needs a package that is not installed ({error.name}). Type: pip install 'bise[postgres]'"
        ) from None
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine)
    else:
        prepare_postgres(engine)
    return engine


def _reading(engine: AsyncEngine) -> AsyncEngine:
    """An engine whose transactions see one state, however many queries they make; SQLite's do so anyway."""
    return engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="REPEATABLE READ")


@contextmanager
def _in_words(url: sa.URL) -> Iterator[None]:
    """Say what is wrong with the database itself; mistakes in our own statements stay what they are."""
    try:
        yield
    except (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.DataError) as error:
        if getattr(error.orig, "sqlstate", None) != _NOT_ALLOWED:
            raise
        raise _explain(url, str(error.orig).strip()) from error
    except (sa.exc.DBAPIError, OSError) as error:
        raise _explain(url, str(getattr(error, "orig", error)).strip()) from error


def _explain(url: sa.URL, reason: str) -> BiseError:
    if url.get_backend_name() != "sqlite":
        return UnavailableError(
            f"The database {url.render_as_string()} cannot be used now ({reason}). See that it runs, that "
            "this machine reaches it, and that its user may log in and make tables there, then try again."
        )
    if "not a database" in reason or "malformed" in reason:
        return InputError(
            f"The database {url.database} is damaged ({reason}). Put one of the *.backup files beside it in its place, "
            "or move it away to begin with an empty one."
        )
    return UnavailableError(
        f"The database {url.database} cannot be used now ({reason}). See that its directory exists, may be written to "
        "and has space left, and that no other program holds it, then try again."
    )

"""Bringing a database's schema up to date, step by step, in one transaction under the lock of writers.

Whoever is interrupted in the middle leaves what was there before; whoever comes second finds everything done. A database
that holds anything is copied before.
"""

import asyncio
from importlib.resources import files
from itertools import count
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from bise.config import home
from bise.errors import InputError
from bise.store.copying import write_copy
from bise.store.sqlite import copy_file
from bise.store.tables import now


async def migrate(engine: AsyncEngine) -> None:
    """Take the steps that a database has not taken yet.

    Raises:
        InputError: it was written by a newer Bise.
    """
    async with engine.execution_options(bise_write=True).begin() as connection:
        found = await connection.run_sync(revision_of)
        newest, known = revisions()
        if found == newest:
            return
        if found is not None and found not in known:
            raise InputError(
                f"The database {_place(engine.url)} was written by a newer Bise (its schema is {found}, this Bise knows "
                f"{', '.join(sorted(known))}). Update with: pip install -U bise."
            )
        if await connection.run_sync(_has_tables):
            copy = backup_path(engine.url, found or "unknown")
            if engine.dialect.name == "sqlite":
                await asyncio.to_thread(copy_file, Path(str(engine.url.database)), copy)
            elif found is not None:
                await connection.run_sync(_copy_old, copy, found)
        await connection.run_sync(upgrade, newest)


def revision_of(connection: sa.Connection) -> str | None:
    """The last step that a database has taken; None: it is empty, or not ours."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def revisions() -> tuple[str, set[str]]:
    """The newest revision and all, from the names of their files: Alembic itself is slow to import."""
    names = (Path(entry.name) for entry in (files("bise.store") / "migrations" / "versions").iterdir())
    known = {name.stem[1:5] for name in names if name.suffix == ".py" and name.stem.startswith("v")}
    return max(known), known


def upgrade(connection: sa.Connection, revision: str) -> None:
    """Take the steps up to a revision, inside a transaction of the caller's."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("bise.store") / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def backup_path(url: sa.URL, what: str) -> Path:
    """A free name for a copy of a database: beside its file, or in the home directory."""
    source = Path(str(url.database)) if url.get_backend_name() == "sqlite" else home() / "bise.postgresql"
    source.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    stem = f"{source.name}.{now():%Y%m%d-%H%M%S}"
    names = (f"{stem}-{number}.{what}.backup" if number else f"{stem}.{what}.backup" for number in count())
    return next(path for path in map(source.with_name, names) if not path.exists())


def _copy_old(connection: sa.Connection, path: Path, revision: str) -> None:
    """Copy a database at an earlier schema: its tables are those that it says it has."""
    write_copy(connection, path, lambda copy: upgrade(copy, revision))


def _has_tables(connection: sa.Connection) -> bool:
    return bool(sa.inspect(connection).get_table_names())


def _place(url: sa.URL) -> str:
    return url.render_as_string() if url.get_backend_name() != "sqlite" else str(url.database)

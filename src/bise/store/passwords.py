"""Passwords: what is one, and where its hash is kept. The slow hashing itself is done in `app/passwords.py`."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError
from bise.store.accounts import User, named_user, user_of_row
from bise.store.audit import record
from bise.store.database import Database
from bise.store.tables import sessions, sign_in_links, users

MIN_CHARS = 12
MAX_CHARS = 1000
_MIN_DIFFERENT = 5


def check_password(name: str, password: str) -> None:
    """See that a password is one that cannot be guessed at once.

    Raises:
        InputError: it is too short, too long, of too few different characters, or the name.
    """
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise InputError(
            f"The password has {len(password)} characters, but must have {MIN_CHARS} to {MAX_CHARS}. "
            "A few words that do not belong together are easy to remember.",
            code="password_length",
            chars=len(password),
            min=MIN_CHARS,
            max=MAX_CHARS,
        )
    if len(set(password)) < _MIN_DIFFERENT or name.casefold() == password.casefold():
        raise InputError(
            f"The password is easy to guess: take at least {_MIN_DIFFERENT} different characters, and not your name.",
            code="password_guessable",
            min=_MIN_DIFFERENT,
        )


async def password_of(database: Database, name: str) -> tuple[User, str] | None:
    """A user who may come in by a password, and its hash; None: there is no such user, or no password."""
    if "\0" in name:
        return None
    query = users.select().where(users.c.name == name, users.c.disabled_at.is_(None))
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None or row.password_hash is None else (user_of_row(row), row.password_hash)


async def has_password(database: Database, user_id: str) -> bool:
    """Whether a user may come in by a password."""
    async with database.read() as connection:
        found = await connection.scalar(sa.select(users.c.password_hash).where(users.c.id == user_id))
    return found is not None


async def set_password(database: Database, name: str, hashed: str, actor: str) -> None:
    """Give a user another password; all their browsers are signed out.

    Raises:
        NotFoundError: there is no such user.
    """
    async with database.write() as connection:
        user = await named_user(connection, name)
        await write_password(connection, user, hashed)
        await connection.execute(sessions.delete().where(sessions.c.user_id == user.id))
        await connection.execute(sign_in_links.delete().where(sign_in_links.c.user_id == user.id))
        await record(connection, actor, "user.password", f"user {name}")


async def write_password(connection: AsyncConnection, user: User, hashed: str) -> None:
    """Keep a password's hash, inside a transaction of the caller's."""
    await connection.execute(users.update().where(users.c.id == user.id).values(password_hash=hashed))


async def rehash(database: Database, user: User, before: str, hashed: str) -> None:
    """Keep the hash of the same password at today's costs, unless the password was changed meanwhile."""
    same = (users.c.id == user.id) & (users.c.password_hash == before)
    async with database.write() as connection:
        await connection.execute(users.update().where(same).values(password_hash=hashed))

"""Users, and the browsers that they come in with: sessions, and addresses that let one browser in, once.

Tokens are 256 random bits. The database holds their SHA-256 only: against guessing that many bits a slow hash would add
nothing but a way to exhaust the server.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError, NotFoundError
from bise.store.audit import COMMAND_LINE, Actor, record
from bise.store.database import Database
from bise.store.tables import new_id, now, sessions, sign_in_links, users

LOCAL_OWNER = "owner"
SESSION_DAYS = 30
LINK_HOURS = 24
RENEWAL_S = 60  # how long requests may still come with a session's secret from before its renewal
MAX_NAME_CHARS = 100
MAX_AGENT_CHARS = 200
Role = Literal["admin", "user"]


@dataclass(frozen=True)
class User:
    """Somebody who owns conversations and keys."""

    id: str
    name: str
    default_model: str | None = None  # who answers in new conversations; None: as the server was started
    role: Role = "user"
    disabled_at: datetime | None = None


async def local_owner(database: Database) -> User:
    """Give the one user of a server that listens on loopback, its admin, made at the first call."""
    async with database.write() as connection:
        found = await _find(connection, LOCAL_OWNER)
        return found or await _insert(connection, LOCAL_OWNER, "admin")


async def create_user(database: Database, name: str, role: Role = "user", actor: Actor = COMMAND_LINE) -> User:
    """Make a user.

    Raises:
        InputError: the name is taken, empty or too long.
    """
    async with database.write() as connection:
        return await add_user(connection, name, role, actor)


async def add_user(connection: AsyncConnection, name: str, role: Role, actor: Actor) -> User:
    """Make a user, inside a transaction of the caller's; raises what `create_user` raises."""
    name = check_name(name)
    if await _find(connection, name) is not None:
        raise InputError(f"There is a user {name} already. Choose another name.", code="name_taken", name=name)
    user = await _insert(connection, name, role)
    await record(connection, actor, "user.add", f"user {name}", role=role)
    return user


async def find_user(database: Database, name: str) -> User:
    """Find a user by name.

    Raises:
        NotFoundError: there is none; the message lists those that there are.
    """
    async with database.read() as connection:
        return await named_user(connection, name)


async def find_user_by_id(database: Database, user_id: str) -> User | None:
    """Find a user by id; None: there is none."""
    async with database.read() as connection:
        row = (await connection.execute(users.select().where(users.c.id == user_id))).one_or_none()
    return None if row is None else user_of_row(row)


async def list_users(database: Database) -> tuple[User, ...]:
    """All users, by name."""
    async with database.read() as connection:
        return tuple(user_of_row(row) for row in await connection.execute(users.select().order_by(users.c.name)))


async def disable_user(database: Database, name: str, disabled: bool, actor: Actor = COMMAND_LINE) -> User:
    """Shut out all of a user's browsers and keys, or let them in again.

    Raises:
        NotFoundError: there is no such user.
    """
    async with database.write() as connection:
        user = await named_user(connection, name)
        moment = now() if disabled else None
        await connection.execute(users.update().where(users.c.id == user.id).values(disabled_at=moment))
        await record(connection, actor, "user.disable" if disabled else "user.enable", f"user {name}")
        changed = await named_user(connection, name)
    database.accounts_changed()
    return changed


async def remove_user(database: Database, name: str, actor: Actor = COMMAND_LINE) -> None:
    """Delete a user with all conversations, feedback and keys; what was used stays counted.

    Raises:
        NotFoundError: there is no such user.
    """
    async with database.write() as connection:
        user = await named_user(connection, name)
        await connection.execute(users.delete().where(users.c.id == user.id))
        await record(connection, actor, "user.remove", f"user {name}", id=user.id)
    database.accounts_changed()


async def create_link(database: Database, name: str, actor: Actor = COMMAND_LINE) -> str:
    """Make the secret of an address that lets one browser of a user in, once, within a day.

    Raises:
        NotFoundError: there is no such user.
    """
    token, moment = secrets.token_urlsafe(32), now()
    async with database.write() as connection:
        user = await named_user(connection, name)
        await connection.execute(sign_in_links.delete().where(sign_in_links.c.expires_at < moment))
        await connection.execute(
            sign_in_links.insert().values(
                token_sha256=sha256(token),
                user_id=user.id,
                created_at=moment,
                expires_at=moment + timedelta(hours=LINK_HOURS),
            )
        )
        await record(connection, actor, "user.link", f"user {name}")
    return token


async def spend_link(database: Database, token: str) -> User | None:
    """Whom an address lets in, or None when it is unknown, spent or too old; it is spent by this."""
    spent = sign_in_links.delete().where(sign_in_links.c.token_sha256 == sha256(token))
    query = (
        sa.select(users)
        .join(sign_in_links, sign_in_links.c.user_id == users.c.id)
        .where(sign_in_links.c.token_sha256 == sha256(token), sign_in_links.c.expires_at > now())
        .where(users.c.disabled_at.is_(None))
    )
    async with database.write() as connection:
        row = (await connection.execute(query)).one_or_none()
        await connection.execute(spent)
        if row is None:
            return None
        await record(connection, row.name, "user.enter", f"user {row.name}")
    return user_of_row(row)


async def start_session(database: Database, user: User, agent: str = "") -> str:
    """Let a browser in, which calls itself `agent`; returns the cookie's secret value."""
    token = secrets.token_urlsafe(32)
    moment = now()
    async with database.write() as connection:
        await connection.execute(sessions.delete().where(sessions.c.expires_at < moment))
        await connection.execute(
            sessions.insert().values(
                token_sha256=sha256(token),
                user_id=user.id,
                created_at=moment,
                expires_at=moment + timedelta(days=SESSION_DAYS),
                id=new_id(),
                agent=printable(agent, MAX_AGENT_CHARS),
                seen_at=moment,
                renewed_at=moment,
            )
        )
    return token


async def user_of_session(database: Database, token: str) -> User | None:
    """Find whose browser sends this cookie, or None."""
    query = (
        sa.select(users)
        .join(sessions, sessions.c.user_id == users.c.id)
        .where(is_session(token), sessions.c.expires_at > now(), users.c.disabled_at.is_(None))
    )
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else user_of_row(row)


def is_session(token: str) -> sa.ColumnElement[bool]:
    """The condition that a session is that of a cookie: its secret, or for a minute the one that it had before."""
    hashed = sha256(token)
    before = (sessions.c.previous_sha256 == hashed) & (sessions.c.renewed_at > now() - timedelta(seconds=RENEWAL_S))
    return (sessions.c.token_sha256 == hashed) | before


async def choose_default_model(database: Database, user: User, model: str | None) -> None:
    """Say who answers in new conversations of a user; None: as the server was started."""
    async with database.write() as connection:
        await connection.execute(users.update().where(users.c.id == user.id).values(default_model=model))


async def named_user(connection: AsyncConnection, name: str) -> User:
    """Find a user, inside a transaction of the caller's; raises what `find_user` raises."""
    found = await _find(connection, name)
    if found is None:
        names = await connection.scalars(sa.select(users.c.name).order_by(users.c.name))
        raise NotFoundError(f"There is no user {name[:100]!r}. The users are: {', '.join(names) or 'none'}.")
    return found


def check_name(name: str) -> str:
    """A name without spaces around it.

    Raises:
        InputError: it is empty, too long, or has characters that do not show.
    """
    name = name.strip()
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        message = f"{name[:120]!r} is no name: it needs 1 to {MAX_NAME_CHARS} characters that can be seen."
        raise InputError(message, code="no_name", max=MAX_NAME_CHARS)
    return name


def printable(text: str, max_chars: int) -> str:
    """Text of others on one line: without what does not show, and cut."""
    return "".join(character for character in text if character.isprintable())[:max_chars]


def sha256(text: str) -> str:
    """What the database keeps of a secret."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


async def _find(connection: AsyncConnection, name: str) -> User | None:
    row = (await connection.execute(users.select().where(users.c.name == name.replace("\0", "")))).one_or_none()
    return None if row is None else user_of_row(row)


async def _insert(connection: AsyncConnection, name: str, role: Role) -> User:
    user = User(new_id(), name, role=role)
    await connection.execute(users.insert().values(id=user.id, name=name, created_at=now(), role=role))
    return user


def user_of_row(row: sa.Row[Any]) -> User:
    """A user from a row with the columns of the table."""
    return User(row.id, row.name, row.default_model, row.role, row.disabled_at)

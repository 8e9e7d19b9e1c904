"""Users, the sessions of their browsers, and the keys of their programs.

Tokens and keys are 256 random bits. The database holds their SHA-256 only: against guessing that many bits a slow
hash would add nothing but a way to exhaust the server.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bise.errors import NotFoundError
from bise.store.database import Database
from bise.store.tables import api_keys, new_id, now, sessions, users

LOCAL_OWNER = "owner"
SESSION_DAYS = 30
_KEY_START = "bise"


@dataclass(frozen=True)
class User:
    """Somebody who owns conversations."""

    id: str
    name: str
    default_model: str | None = None  # who answers in new conversations; None: as the server was started


@dataclass(frozen=True)
class ApiKey:
    """What may be shown of a key after its making: never its secret."""

    id: str
    name: str
    prefix: str
    created_at: datetime
    revoked_at: datetime | None


async def local_owner(database: Database) -> User:
    """Give the one user of a server that listens on loopback, made at the first call."""
    return await create_user(database, LOCAL_OWNER)


async def create_user(database: Database, name: str) -> User:
    """Give the user of that name, made when there is none."""
    async with database.write() as connection:
        row = (await connection.execute(sa.select(users.c.id).where(users.c.name == name))).one_or_none()
        if row is not None:
            return User(row.id, name)
        user = User(new_id(), name)
        await connection.execute(users.insert().values(id=user.id, name=name, created_at=now()))
        return user


async def start_session(database: Database, user: User) -> str:
    """Let a browser in; returns the cookie's secret value."""
    token = secrets.token_urlsafe(32)
    moment = now()
    async with database.write() as connection:
        await connection.execute(sessions.delete().where(sessions.c.expires_at < moment))
        await connection.execute(
            sessions.insert().values(
                token_sha256=_sha256(token),
                user_id=user.id,
                created_at=moment,
                expires_at=moment + timedelta(days=SESSION_DAYS),
            )
        )
    return token


async def user_of_session(database: Database, token: str) -> User | None:
    """Find whose browser sends this cookie, or None."""
    query = (
        sa.select(users.c.id, users.c.name, users.c.default_model)
        .join(sessions, sessions.c.user_id == users.c.id)
        .where(sessions.c.token_sha256 == _sha256(token), sessions.c.expires_at > now())
    )
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else User(row.id, row.name, row.default_model)


async def choose_default_model(database: Database, user: User, model: str | None) -> None:
    """Say who answers in new conversations of a user; None: as the server was started."""
    async with database.write() as connection:
        await connection.execute(users.update().where(users.c.id == user.id).values(default_model=model))


async def create_key(database: Database, user: User, name: str) -> tuple[ApiKey, str]:
    """Make a key for a program; the second value is the key itself, which is never shown again."""
    key = ApiKey(new_id(), name, f"{_KEY_START}_{secrets.token_hex(5)}", now(), None)
    text = f"{key.prefix}_{secrets.token_urlsafe(32)}"
    async with database.write() as connection:
        await connection.execute(
            api_keys.insert().values(
                id=key.id,
                user_id=user.id,
                name=name,
                prefix=key.prefix,
                secret_sha256=_sha256(text),
                created_at=key.created_at,
            )
        )
    return key, text


async def user_of_key(database: Database, text: str) -> User | None:
    """Find whose program sends this key, or None when it is unknown or revoked."""
    if not text.isascii():
        return None
    prefix = "_".join(text.split("_", 2)[:2])
    query = (
        sa.select(users.c.id, users.c.name, api_keys.c.secret_sha256)
        .join(api_keys, api_keys.c.user_id == users.c.id)
        .where(api_keys.c.prefix == prefix, api_keys.c.revoked_at.is_(None))
    )
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    known = row.secret_sha256 if row is not None else _sha256("")
    matches = hmac.compare_digest(known, _sha256(text))
    return User(row.id, row.name) if row is not None and matches else None


async def list_keys(database: Database, user: User) -> tuple[ApiKey, ...]:
    """All keys of a user, oldest first, revoked ones too."""
    query = api_keys.select().where(api_keys.c.user_id == user.id).order_by(api_keys.c.created_at, api_keys.c.id)
    async with database.read() as connection:
        return tuple(_key(row) for row in await connection.execute(query))


async def revoke_key(database: Database, user: User, prefix: str) -> ApiKey:
    """Shut a key out from now on; revoking twice is no error.

    Raises:
        NotFoundError: this user has no key with that prefix.
    """
    where = (api_keys.c.user_id == user.id) & (api_keys.c.prefix == prefix)
    async with database.write() as connection:
        await connection.execute(
            api_keys.update().where(where, api_keys.c.revoked_at.is_(None)).values(revoked_at=now())
        )
        row = (await connection.execute(api_keys.select().where(where))).one_or_none()
    if row is None:
        known = ", ".join(key.prefix for key in await list_keys(database, user)) or "none"
        raise NotFoundError(f"There is no key {prefix}. The keys are: {known}.")
    return _key(row)


def _key(row: sa.Row[Any]) -> ApiKey:
    return ApiKey(row.id, row.name, row.prefix, row.created_at, row.revoked_at)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
